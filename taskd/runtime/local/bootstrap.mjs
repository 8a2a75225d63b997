// Runs a Node.js handler: speaks Lambda's Runtime API and behaves to the handler as Lambda's own runtime does.
// The program of a sandbox; needs nothing but Node's standard library.

import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const environment = process.env;
const api = new URL(`http://${environment.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/`);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const taskRoot = environment.LAMBDA_TASK_ROOT;

const EXIT_UNHANDLED_REJECTION = 128;
const EXIT_UNCAUGHT_EXCEPTION = 129;

// ---- The Runtime API -------------------------------------------------------------------------------------------

function request(method, endpoint, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) };
    const options = { method, agent, headers: { 'Content-Type': 'application/json', ...length, ...headers } };
    const outgoing = http.request(new URL(endpoint, api), options, (incoming) => {
      const chunks = [];
      incoming.on('data', (chunk) => chunks.push(chunk));
      incoming.on('end', () => resolve({ incoming, body: Buffer.concat(chunks) }));
      incoming.on('error', reject);
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

async function nextInvocation() {
  const { incoming, body } = await request('GET', 'invocation/next');
  if (incoming.statusCode !== 200) throw new Error(`no next invocation: HTTP ${incoming.statusCode}`);
  return { headers: incoming.headers, event: body };
}

const postResult = (requestId, json) => request('POST', `invocation/${requestId}/response`, json);

function postError(endpoint, error) {
  const shape = errorShape(error);
  const headers = { 'Lambda-Runtime-Function-Error-Type': encodeURIComponent(shape.errorType) };
  return request('POST', endpoint, JSON.stringify(shape), headers);
}

// ---- Errors ----------------------------------------------------------------------------------------------------

class RuntimeFault extends Error {
  constructor(type, message) {
    super(message);
    this.name = `Runtime.${type}`;
  }
}

function errorShape(error) {
  if (error instanceof Error || (error && typeof error === 'object' && 'message' in error && 'stack' in error)) {
    const trace = String(error.stack ?? '').split('\n');
    return { errorType: String(error.name ?? 'Error'), errorMessage: String(error.message), trace };
  }
  return { errorType: typeof error, errorMessage: describe(error), trace: [] };
}

function describe(value) {
  try {
    return String(value);
  } catch {
    return Object.prototype.toString.call(value); // an object without a prototype
  }
}

function logError(title, error, requestId) {
  const { errorType, errorMessage, trace } = errorShape(error);
  const details = JSON.stringify({ errorType, errorMessage, stack: trace });
  const fields = [new Date().toISOString(), requestId ?? 'undefined', 'ERROR', title, details];
  process.stderr.write(`${fields.join('\t')}\n`);
}

// ---- Finding the handler ---------------------------------------------------------------------------------------

async function loadHandler(entryPoint) {
  const { dir, base } = path.parse(entryPoint);
  const [name, ...exported] = base.split('.');
  if (!name || exported.length === 0) throw new RuntimeFault('MalformedHandlerName', 'Bad handler');
  const module = await loadModule(path.resolve(taskRoot, dir, name));
  const handler = member(module, exported) ?? member(module.default, exported);
  if (handler === undefined) throw new RuntimeFault('HandlerNotFound', `${entryPoint} is undefined or not exported`);
  if (typeof handler !== 'function') throw new RuntimeFault('HandlerNotFound', `${entryPoint} is not a function`);
  return handler;
}

const member = (object, keys) => keys.reduce((value, key) => value?.[key], object);

async function loadModule(stem) {
  const file = ['.js', '.mjs', '.cjs'].map((suffix) => stem + suffix).find(fs.existsSync);
  if (file === undefined) {
    throw new RuntimeFault('ImportModuleError', `Error: Cannot find module '${path.basename(stem)}'`);
  }
  try {
    return isEsModule(file) ? await import(pathToFileURL(file)) : createRequire(file)(file);
  } catch (error) {
    throw importFault(error);
  }
}

function importFault(error) {
  if (error instanceof SyntaxError) return new RuntimeFault('UserCodeSyntaxError', String(error));
  const missing = ['MODULE_NOT_FOUND', 'ERR_MODULE_NOT_FOUND'].includes(error?.code);
  return missing ? new RuntimeFault('ImportModuleError', String(error)) : error;
}

function isEsModule(file) {
  if (!file.endsWith('.js')) return file.endsWith('.mjs');
  for (let folder = path.dirname(file); folder.startsWith(taskRoot); folder = path.dirname(folder)) {
    const description = path.join(folder, 'package.json');
    if (fs.existsSync(description)) return JSON.parse(fs.readFileSync(description, 'utf8')).type === 'module';
  }
  return false;
}

// ---- One call --------------------------------------------------------------------------------------------------

let current; // the call under way

class Call {
  constructor({ headers, event }) {
    this.requestId = headers['lambda-runtime-aws-request-id'];
    this.deadlineMs = Number(headers['lambda-runtime-deadline-ms']);
    this.arn = headers['lambda-runtime-invoked-function-arn'];
    this.event = event;
    this.waitsForEmptyEventLoop = true;
    this.pending = undefined; // the outcome of a callback that waits for the event loop to empty
    this.done = new Promise((resolve) => (this.finish = resolve));
  }

  /** The first outcome of a call counts; what a handler says after that is not heard. */
  settle(outcome) {
    this.settle = () => {};
    this.callback = () => {};
    this.finish(outcome);
  }

  callback(error, value) {
    this.pending = error ? { error } : { value };
    this.callback = () => {};
    if (error || !this.waitsForEmptyEventLoop) this.settle(this.pending);
  }

  /** Nothing is left to run, so nothing will settle the call if it is not settled now. */
  eventLoopIsEmpty() {
    if (this.pending) return this.settle(this.pending);
    if (!this.returnedPromise) return this.settle({ value: null });
    const message = 'The event loop is empty, but the promise that the handler returned was never settled';
    return this.settle({ error: new RuntimeFault('NodeJsExit', message) });
  }

  async run(handler) {
    try {
      const returned = handler(JSON.parse(this.event), this.context(), (error, value) => this.callback(error, value));
      if (typeof returned?.then !== 'function') return;
      this.returnedPromise = true;
      this.settle({ value: await returned });
    } catch (error) {
      this.settle({ error });
    }
  }

  context() {
    const call = this;
    const done = (error, value) => {
      this.waitsForEmptyEventLoop = false;
      this.callback(error, value);
    };
    return {
      get callbackWaitsForEmptyEventLoop() {
        return call.waitsForEmptyEventLoop;
      },
      set callbackWaitsForEmptyEventLoop(value) {
        call.waitsForEmptyEventLoop = value;
      },
      awsRequestId: this.requestId,
      functionName: environment.AWS_LAMBDA_FUNCTION_NAME,
      functionVersion: environment.AWS_LAMBDA_FUNCTION_VERSION,
      invokedFunctionArn: this.arn,
      logGroupName: environment.AWS_LAMBDA_LOG_GROUP_NAME,
      logStreamName: environment.AWS_LAMBDA_LOG_STREAM_NAME,
      memoryLimitInMB: environment.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
      clientContext: undefined,
      identity: undefined,
      getRemainingTimeInMillis: () => Math.max(0, this.deadlineMs - Date.now()),
      done,
      succeed: (value) => done(null, value),
      fail: (error) => done(error ?? 'handled'),
    };
  }

  async report(outcome) {
    const { json, error } = 'error' in outcome ? outcome : toJson(outcome.value);
    if (json !== undefined) return postResult(this.requestId, json);
    logError('Invoke Error', error, this.requestId);
    return postError(`invocation/${this.requestId}/error`, error);
  }
}

function toJson(value) {
  try {
    return { json: JSON.stringify(value ?? null) ?? 'null' };
  } catch (error) {
    return { error: new RuntimeFault('MarshalError', `Unable to stringify the response: ${error.message}`) };
  }
}

// ---- The life of the sandbox -----------------------------------------------------------------------------------

function die(title, error, exitCode) {
  const call = current;
  logError(title, error, call?.requestId);
  const endpoint = isLoaded ? call && `invocation/${call.requestId}/error` : 'init/error';
  const told = endpoint ? postError(endpoint, error) : Promise.resolve();
  told.finally(() => process.exit(exitCode));
}

function unhandledRejection(reason) {
  const error = new RuntimeFault('UnhandledPromiseRejection', describe(reason));
  if (reason instanceof Error) error.stack = reason.stack;
  return error;
}

let isLoaded = false;
process.on('uncaughtException', (error) => die('Uncaught Exception', error, EXIT_UNCAUGHT_EXCEPTION));
process.on('unhandledRejection', (reason) => {
  die('Unhandled Promise Rejection', unhandledRejection(reason), EXIT_UNHANDLED_REJECTION);
});
process.on('beforeExit', () => current?.eventLoopIsEmpty());

async function serve() {
  let handler;
  try {
    handler = await loadHandler(environment._HANDLER);
  } catch (error) {
    die('Uncaught Exception', error, 1);
    return;
  }
  isLoaded = true;
  for (;;) {
    const call = new Call(await nextInvocation());
    current = call;
    call.run(handler);
    await call.report(await call.done);
    current = undefined;
  }
}

serve().catch(() => process.exit(1)); // the Runtime API is gone, and with it whoever wanted a result
