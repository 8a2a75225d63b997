const assert = require('node:assert/strict');
const { before, test } = require('node:test');
const errors = require('@extrahorizon/javascript-sdk');
const { exh, definition } = require('./taskd');

const { execute } = exh.tasks.functions;

before(async () => {
  for (const source of ['echo', 'fails']) {
    await exh.tasks.functions.create(definition(source));
  }
  await exh.tasks.functions.create(definition('echo', { name: 'slow', timeLimit: 60 }));
  await exh.tasks.functions.create(definition('echo', { name: 'off' }));
  await exh.tasks.functions.disable('off');
});

test('execute answers the finished task and its result', async () => {
  const data = { snake_case: { inner_key: 1 } };
  const { result, ...task } = await execute('echo', data);
  assert.deepEqual(result, data);
  assert.deepEqual(task.data, data);
  assert.equal(task.status, 'complete');
  assert.ok(task.creationTimestamp instanceof Date);
  const stored = await exh.tasks.findById(task.id);
  assert.equal(stored.status, 'complete');
  assert.equal(stored.result, undefined);
  assert.match((await exh.tasks.logs.findFirst(task.id)).message, /first line/);
});

test('execute needs no data', async () => {
  assert.deepEqual((await execute('echo')).result, {});
});

test('a function that throws answers its error and the task', async () => {
  await assert.rejects(execute('fails'), error => {
    assert.ok(error instanceof errors.LambdaRuntimeError);
    assert.deepEqual(error.response.runtimeError, { name: 'PumpError', message: 'the pump is dry' });
    assert.match(error.response.taskId, /^[0-9a-f]{24}$/);
    return true;
  });
});

test('errors have the classes of the SDK', async () => {
  await assert.rejects(execute('slow'), errors.TimeLimitExceedsDirectExecutionMaximumError);
  await assert.rejects(execute('nobody'), errors.ResourceUnknownError);
  await assert.rejects(execute('off'), error => error.response.code === 1410);
});
