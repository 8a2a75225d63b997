// Runs a Node.js handler: speaks to the daemon on a channel and behaves to the handler as Lambda's own runtime does.
// The program of a sandbox; needs nothing but Node's standard library. The format of the channel is told in channel.py
// beside this file.

import fs from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { format } from 'node:util';

const environment = process.env;
const taskRoot = environment.LAMBDA_TASK_ROOT;

const EXIT_UNHANDLED_REJECTION = 128;
const EXIT_UNCAUGHT_EXCEPTION = 129;

// ---- The channel -----------------------------------------------------------------------------------------------

const CHANNEL_FD = 10;
const READY = 1;
const RESULT = 2;
const ERROR = 3;
const LAST_ERROR = 4;
const INIT_ERROR = 5;
const ID_BYTES = 36;
const HEAD_BYTES = 5 + ID_BYTES; // kind, length, id
const CALL_BYTES = 14 + ID_BYTES; // lengths of event and ARN, deadline, id
const READ_BYTES = 64 * 1024;

/** Keeps the event loop alive only while it waits for a call: then a handler that is done with all is seen to be. */
class Channel {
  constructor() {
    const onread = { buffer: Buffer.allocUnsafe(READ_BYTES), callback: (size, buffer) => this.receive(size, buffer) };
    this.socket = new net.Socket({ fd: CHANNEL_FD, readable: true, writable: true, onread });
    this.socket.on('error', () => {});
    this.socket.on('close', () => this.onCall && process.exit(1));
    this.socket.unref();
    this.parts = []; // what has come of a message that is not whole yet
    this.onCall = undefined;
  }

  next() {
    this.socket.ref();
    return new Promise((resolve) => (this.onCall = resolve));
  }

  receive(size, buffer) {
    let message = buffer.subarray(0, size);
    if (this.parts.length > 0 || !isWhole(message)) {
      this.parts.push(Buffer.from(message));
      this.wanted = this.wanted || (this.length() >= CALL_BYTES && wholeBytes(Buffer.concat(this.parts)));
      if (!this.wanted || this.length() < this.wanted) return true;
      message = Buffer.concat(this.parts);
      this.parts = [];
      this.wanted = undefined;
    }
    this.socket.unref();
    const { onCall } = this;
    this.onCall = undefined;
    onCall(new Call(message));
    return true;
  }

  length() {
    return this.parts.reduce((sum, part) => sum + part.length, 0);
  }

  /** Resolves when the message is on its way. */
  send(kind, text, requestId = '') {
    const length = Buffer.byteLength(text);
    const message = Buffer.allocUnsafe(HEAD_BYTES + length);
    message.writeUInt8(kind, 0);
    message.writeUInt32BE(length, 1);
    message.write(requestId.padEnd(ID_BYTES), 5, ID_BYTES, 'latin1');
    message.write(text, HEAD_BYTES);
    const rest = message.subarray(this.writeAtOnce(message));
    return rest.length > 0 ? new Promise((resolve) => this.socket.write(rest, resolve)) : Promise.resolve();
  }

  /** How much of the message could be written: past the stream, which takes a quarter of all that a call costs here. */
  writeAtOnce(message) {
    if (this.socket.writableLength > 0) return 0;
    try {
      return fs.writeSync(CHANNEL_FD, message);
    } catch {
      return 0; // there is no room just now, or nobody left; the stream will see which
    }
  }
}

const wholeBytes = (message) => CALL_BYTES + message.readUInt32BE(0) + message.readUInt16BE(4);
const isWhole = (message) => message.length >= CALL_BYTES && message.length >= wholeBytes(message);

let channel; // opened when the handler is loaded, or could not be

function open() {
  channel ??= new Channel();
  return channel;
}

const sendError = (kind, error, requestId) => open().send(kind, JSON.stringify(errorShape(error)), requestId);

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

// ---- What is printed -------------------------------------------------------------------------------------------

let requestId = 'undefined'; // of the call under way, or of the one before, as on Lambda

const INNER_LINE_END = '\r\0'; // in the place of \n within one line of a log: see log_capture.py beside this file
const LEVELS = { log: 'INFO', info: 'INFO', warn: 'WARN', error: 'ERROR', debug: 'DEBUG', trace: 'TRACE' };

/**
 * Gives the lines of the console Lambda's form, where each call makes one, however many lines its text has; what is
 * written to the streams themselves stays as it is.
 */
for (const [method, level] of Object.entries(LEVELS)) {
  console[method] = (...values) => {
    const text = format(...values).replaceAll('\n', INNER_LINE_END);
    process.stdout.write(`${new Date().toISOString()}\t${requestId}\t${level}\t${text}\n`);
  };
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
  constructor(message) {
    const eventAt = CALL_BYTES + message.readUInt16BE(4);
    this.deadlineMs = message.readUInt32BE(6) * 2 ** 32 + message.readUInt32BE(10);
    this.requestId = message.latin1Slice(14, CALL_BYTES);
    this.arn = message.utf8Slice(CALL_BYTES, eventAt);
    this.event = message.utf8Slice(eventAt, message.length);
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

  /** Tells the outcome, which also asks for the next call. */
  report(outcome) {
    const { json, error } = 'error' in outcome ? outcome : toJson(outcome.value);
    if (json !== undefined) {
      channel.send(RESULT, json, this.requestId);
      return;
    }
    logError('Invoke Error', error, this.requestId);
    sendError(ERROR, error, this.requestId);
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
  const kind = isLoaded ? call && LAST_ERROR : INIT_ERROR;
  const told = kind ? sendError(kind, error, call?.requestId) : Promise.resolve();
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
  open().send(READY, '');
  for (;;) {
    const call = await channel.next();
    current = call;
    requestId = call.requestId;
    call.run(handler);
    const outcome = await call.done;
    call.report(outcome);
    current = undefined;
  }
}

serve();
