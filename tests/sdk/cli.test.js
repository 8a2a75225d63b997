// What Extra Horizon's command line tool, `exh` 1.13.6, does with functions: its calls through the SDK, in its order.
const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const { after, before, test } = require('node:test');
const sdk = require('@extrahorizon/javascript-sdk');
const { recorder } = require('./recorder.js');

const { host, runtime, zips } = JSON.parse(readFileSync(process.env.TASKD_TEST_ENVIRONMENT, 'utf8'));
const accounts = JSON.parse(readFileSync(process.env.TASKD_TEST_ACCOUNTS, 'utf8'));
const { email, password, consumer } = accounts;
const ME = 'GET /users/v1/me';
const FUNCTIONS = '/tasks/v1/functions';

let kept;
let synced;
let recorded;

before(async () => {
  recorded = await recorder(host);
});

after(() => recorded.close());

// A command, in a process of its own: it shows what `exh login` kept, and gives the requests that it took.
async function command(work) {
  recorded.requests.length = 0;
  const exh = sdk.createOAuth1Client({ host: recorded.host, ...consumer });
  await exh.auth.authenticate(kept);
  await work(exh);
  return recorded.requests.map(({ line }) => line);
}

// The bytes of the last request, which the server was sent as they are here.
const lastBody = () => recorded.requests.at(-1).body;

// `exh tasks sync` of one folder; it sends the runtime of a function that is there only if it changes.
async function sync(exh, fields) {
  const wanted = { description: 'none', entryPoint: 'index.handler', runtime, ...fields };
  const { data } = await exh.tasks.functions.find();
  if (!data.some(({ name }) => name === wanted.name)) {
    await exh.tasks.functions.create(wanted);
    return;
  }
  const there = await exh.tasks.functions.getByName(wanted.name);
  if (there.runtime === wanted.runtime) {
    delete wanted.runtime;
  }
  assert.equal((await exh.tasks.functions.update(wanted.name, wanted)).affectedRecords, 1);
}

test('exh login keeps a token and its secret', async () => {
  const exh = sdk.createOAuth1Client({ host, ...consumer });
  const { token, tokenSecret } = await exh.auth.authenticate({ email, password });
  assert.ok(token && tokenSecret);
  kept = { token, tokenSecret };
});

test('exh whoami says who is logged in', async () => {
  await command(async exh => {
    assert.equal((await exh.users.me()).email, email);
  });
});

test('exh tasks sync creates a function that is not there', async () => {
  const environmentVariables = { GREETING: { value: 'hello' } };
  const executionOptions = { permissionMode: 'allUsers', defaultPriority: 3 };
  const retryPolicy = { enabled: true, errorsToRetry: ['RETRYABLE_ERROR'] };
  const settings = { timeLimit: 10, memoryLimit: 256, environmentVariables, executionOptions, retryPolicy };
  synced = { name: 'synced', code: accounts.zip, ...settings };
  const requests = await command(exh => sync(exh, synced));
  assert.deepEqual(requests, [ME, `GET ${FUNCTIONS}/`, `POST ${FUNCTIONS}/`]);
  assert.equal(lastBody(), JSON.stringify({ description: 'none', entryPoint: 'index.handler', runtime, ...synced }));
  await command(async exh => {
    const { code, ...fields } = synced;
    const there = await exh.tasks.functions.getByName('synced');
    assert.deepEqual({ ...there, ...fields }, there);
  });
});

test('exh tasks sync updates a function that is there, and what it does', async () => {
  const changed = { ...synced, description: 'an echo', code: zips.echo };
  const requests = await command(exh => sync(exh, changed));
  const named = `${FUNCTIONS}/synced`;
  assert.deepEqual(requests, [ME, `GET ${FUNCTIONS}/`, `GET ${named}`, `PUT ${named}`]);
  assert.equal(lastBody(), JSON.stringify({ description: 'an echo', entryPoint: 'index.handler', ...changed }));
  await command(async exh => {
    assert.equal((await exh.tasks.functions.getByName('synced')).description, 'an echo');
    assert.equal((await exh.tasks.functions.execute('synced', { data: { n: 1 } })).status, 'complete');
  });
});

test('exh tasks list names functions, and when they were updated', async () => {
  const requests = await command(async exh => {
    const [row] = (await exh.tasks.functions.find()).data;
    assert.equal(row.name, 'synced');
    assert.ok(Date.now() - Date.parse(row.updateTimestamp.toISOString()) < 60_000);
  });
  assert.deepEqual(requests, [ME, `GET ${FUNCTIONS}/`]);
});

test('exh tasks delete removes a function, and says so of one that is not there', async () => {
  const requests = await command(async exh => {
    assert.equal((await exh.tasks.functions.remove('synced')).affectedRecords, 1);
  });
  assert.deepEqual(requests, [ME, `DELETE ${FUNCTIONS}/synced`]);
  await command(exh => assert.rejects(exh.tasks.functions.remove('synced'), sdk.ResourceUnknownError));
});
