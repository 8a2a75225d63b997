const assert = require('node:assert/strict');
const { test } = require('node:test');
const errors = require('@extrahorizon/javascript-sdk');
const { exh, definition, finished } = require('./taskd');

const AFFECTED = { affectedRecords: 1 };

test('create answers the details, getByName the same, find a row', async () => {
  const fields = {
    name: 'whole',
    description: 'with everything',
    timeLimit: 7,
    memoryLimit: 256,
    environmentVariables: { snake_KEY: { value: 'v' }, camelKey: { value: '' } },
    executionOptions: { permissionMode: 'allUsers', defaultPriority: 4 },
    retryPolicy: { enabled: true, errorsToRetry: ['PumpError'] },
  };
  const { code, ...shown } = definition('echo', fields);
  const created = await exh.tasks.functions.create({ code, ...shown });
  const { updateTimestamp, ...details } = created;
  assert.ok(updateTimestamp instanceof Date);
  assert.deepEqual(details, { ...shown, enabled: true });
  assert.deepEqual(await exh.tasks.functions.getByName('whole'), created);
  const page = await exh.tasks.functions.find();
  assert.deepEqual(page.data.find(row => row.name === 'whole'), {
    name: 'whole',
    description: 'with everything',
    updateTimestamp,
  });
  assert.equal(page.page.total, page.data.length);
});

test('update changes a part and leaves the rest', async () => {
  const before = await exh.tasks.functions.create(definition('echo', { name: 'parts', description: 'old' }));
  assert.deepEqual(await exh.tasks.functions.update('parts', { timeLimit: 9 }), AFFECTED);
  assert.deepEqual(
    await exh.tasks.functions.update('parts', { environmentVariables: { my_KEY: { value: 'x' } } }),
    AFFECTED
  );
  const { updateTimestamp, ...after } = await exh.tasks.functions.getByName('parts');
  const { updateTimestamp: earlier, ...rest } = before;
  assert.ok(updateTimestamp >= earlier);
  assert.deepEqual(after, { ...rest, timeLimit: 9, environmentVariables: { my_KEY: { value: 'x' } } });
});

test('update with code changes what the next task runs', async () => {
  await exh.tasks.functions.create(definition('fails', { name: 'fixed' }));
  assert.equal((await finished(await exh.tasks.create({ functionName: 'fixed' }))).status, 'failed');
  await exh.tasks.functions.update('fixed', { code: definition('echo').code });
  assert.equal((await finished(await exh.tasks.create({ functionName: 'fixed' }))).status, 'complete');
});

test('disable makes due tasks fail, enable makes them run', async () => {
  await exh.tasks.functions.create(definition('echo', { name: 'gate' }));
  assert.deepEqual(await exh.tasks.functions.disable('gate'), AFFECTED);
  assert.equal((await exh.tasks.functions.getByName('gate')).enabled, false);
  const { error } = await finished(await exh.tasks.create({ functionName: 'gate' }));
  assert.deepEqual([error.type, error.name], ['invocation', 'FUNCTION_DISABLED']);
  assert.deepEqual(await exh.tasks.functions.enable('gate'), AFFECTED);
  assert.equal((await finished(await exh.tasks.create({ functionName: 'gate' }))).status, 'complete');
});

test('the default priority of a function goes to its tasks', async () => {
  const executionOptions = { defaultPriority: 11 };
  await exh.tasks.functions.create(definition('echo', { name: 'urgent', executionOptions }));
  assert.equal((await exh.tasks.create({ functionName: 'urgent' })).priority, 11);
  assert.equal((await exh.tasks.create({ functionName: 'urgent', priority: 0 })).priority, 0);
});

test('remove frees the name', async () => {
  await exh.tasks.functions.create(definition('echo', { name: 'brief' }));
  assert.deepEqual(await exh.tasks.functions.remove('brief'), AFFECTED);
  await assert.rejects(exh.tasks.functions.getByName('brief'), errors.ResourceUnknownError);
  await exh.tasks.functions.create(definition('echo', { name: 'brief' }));
});

test('errors have the classes of the SDK', async () => {
  const { create, update } = exh.tasks.functions;
  await create(definition('echo', { name: 'taken' }));
  await assert.rejects(create(definition('echo', { name: 'taken' })), errors.ResourceAlreadyExistsError);
  await assert.rejects(create(definition('echo', { name: 'bad', code: 'aGVsbG8=' })), errors.InvalidFunctionCodeError);
  await assert.rejects(create(definition('echo', { name: 'no spaces' })), errors.InvalidFunctionNameError);
  await assert.rejects(create({ name: 'bare' }), errors.MissingRequiredFieldsError);
  await assert.rejects(update('nobody', { timeLimit: 9 }), errors.ResourceUnknownError);
  await assert.rejects(update('taken', { timeLimit: 0 }), errors.FieldFormatError);
  const environmentVariables = { BIG: { value: 'x'.repeat(4097) } };
  await assert.rejects(update('taken', { environmentVariables }), errors.InvalidFunctionParameterError);
  await assert.rejects(exh.tasks.functions.enable('nobody'), errors.ResourceUnknownError);
  await assert.rejects(exh.tasks.functions.remove('nobody'), errors.ResourceUnknownError);
});
