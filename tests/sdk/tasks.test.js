const assert = require('node:assert/strict');
const { before, test } = require('node:test');
const errors = require('@extrahorizon/javascript-sdk');
const { exh, rqlBuilder, definition, waiting, finished, collected, FAR_FUTURE } = require('./taskd');

const UNKNOWN_ID = '0123456789abcdef01234567';

before(async () => {
  await exh.tasks.functions.create(definition('echo'));
  await exh.tasks.functions.create(definition('fails'));
  await exh.tasks.functions.create(definition('silent'));
});

test('create answers the task, with dates and untouched data', async () => {
  const data = { snake_case: { inner_key: 1 }, camelCase: [{ 'with space': null }], 'ключ': 'значение' };
  const task = await waiting({ functionName: 'echo', data, tags: ['a', 'b'], priority: -3 });
  assert.equal(task.status, 'new');
  assert.equal(task.functionName, 'echo');
  assert.deepEqual(task.data, data);
  assert.deepEqual(task.tags, ['a', 'b']);
  assert.equal(task.priority, -3);
  assert.deepEqual(task.startTimestamp, FAR_FUTURE);
  for (const name of ['creationTimestamp', 'updateTimestamp', 'statusChangedTimestamp']) {
    assert.ok(Math.abs(task[name].getTime() - Date.now()) < 60_000, name);
  }
  assert.deepEqual((await exh.tasks.findById(task.id)).data, data);
});

test('a task runs, completes and leaves logs', async () => {
  const task = await finished(await exh.tasks.create({ functionName: 'echo', data: { n: 1 } }));
  assert.equal(task.status, 'complete');
  const lines = await exh.tasks.logs.find(task.id);
  assert.deepEqual(lines.map(line => line.message.includes('line')), [true, true]);
  assert.ok(lines[0].timestamp instanceof Date);
  assert.deepEqual(await exh.tasks.logs.findFirst(task.id), lines[0]);
  const since = rqlBuilder().ge('timestamp', lines[0].timestamp.toISOString()).build();
  assert.deepEqual(await exh.tasks.logs.find(task.id, { rql: since }), lines);
});

test('a function that throws leaves its error with the task', async () => {
  const task = await finished(await exh.tasks.create({ functionName: 'fails' }));
  assert.equal(task.status, 'failed');
  assert.deepEqual(task.error, { type: 'runtime', name: 'PumpError', message: 'the pump is dry' });
  const rql = rqlBuilder().eq('error.name', 'PumpError').build();
  assert.equal((await exh.tasks.findFirst({ rql })).id, task.id);
});

test('find answers a page', async () => {
  await waiting({ tags: ['page'] });
  await waiting({ tags: ['page'] });
  const rql = rqlBuilder().eq('tags', 'page').limit(1, 1).build();
  const result = await exh.tasks.find({ rql });
  assert.deepEqual(result.page, { total: 2, offset: 1, limit: 1 });
  assert.equal(result.data.length, 1);
  assert.equal(typeof result.query, 'string');
});

test('find without a query answers the first twenty', async () => {
  const result = await exh.tasks.find();
  assert.deepEqual([result.page.offset, result.page.limit], [0, 20]);
});

test('findFirst and findById answer nothing where there is nothing', async () => {
  assert.equal(await exh.tasks.findById(UNKNOWN_ID), undefined);
  assert.equal(await exh.tasks.findFirst({ rql: rqlBuilder().eq('tags', 'nowhere').build() }), undefined);
});

test('findAll and findAllIterator go over more than two pages, each task once', async () => {
  const created = await Promise.all(Array.from({ length: 120 }, (_, n) => waiting({ tags: ['many'], data: { n } })));
  const ids = created.map(task => task.id).sort();
  const rql = rqlBuilder().eq('tags', 'many').build();
  assert.deepEqual((await exh.tasks.findAll({ rql })).map(task => task.id), ids);
  assert.deepEqual((await collected(exh.tasks.findAllIterator({ rql }))).map(task => task.id), ids);
  const sorted = rqlBuilder({ rql }).sort('-data.n').build();
  assert.deepEqual((await exh.tasks.findAll({ rql: sorted })).map(task => task.data.n), [...Array(120).keys()].reverse());
});

test('cancel calls off a task that has not started, once', async () => {
  const task = await waiting();
  assert.deepEqual(await exh.tasks.cancel(task.id), { affectedRecords: 1 });
  assert.equal((await exh.tasks.findById(task.id)).status, 'canceled');
  await assert.rejects(exh.tasks.cancel(task.id), errors.IllegalStateError);
});

test('errors have the classes of the SDK', async () => {
  const create = body => exh.tasks.create(body);
  await assert.rejects(exh.tasks.cancel(UNKNOWN_ID), errors.ResourceUnknownError);
  await assert.rejects(exh.tasks.cancel('abc'), errors.IDFormatError);
  await assert.rejects(create({}), errors.MissingRequiredFieldsError);
  await assert.rejects(create({ functionName: '' }), errors.FieldFormatError);
  await assert.rejects(create({ functionName: 'echo', tags: 'a' }), errors.FieldFormatError);
  await assert.rejects(exh.tasks.create([]), errors.BodyFormatError);
  await assert.rejects(exh.tasks.find({ rql: '?eq(a' }), errors.InvalidRqlError);
  await assert.rejects(exh.tasks.logs.find((await waiting()).id), errors.IllegalStateError);
  const silent = await finished(await create({ functionName: 'silent' }));
  await assert.rejects(exh.tasks.logs.find(silent.id), errors.NoTaskLogsFoundError);
});

test('an error carries code, name and message of the answer', async () => {
  await assert.rejects(exh.tasks.cancel(UNKNOWN_ID), error => {
    assert.equal(error.status, 404);
    assert.equal(error.name, 'RESOURCE_UNKNOWN_EXCEPTION');
    assert.equal(error.response.code, 16);
    assert.match(error.message, new RegExp(UNKNOWN_ID));
    return true;
  });
});
