const assert = require('node:assert/strict');
const { before, test } = require('node:test');
const errors = require('@extrahorizon/javascript-sdk');
const { exh, rqlBuilder, definition, finished, collected, delay, FAR_FUTURE } = require('./taskd');

const { schedules } = exh.tasks;
const AFFECTED = { affectedRecords: 1 };

async function far(fields = {}) {
  return await schedules.create({ interval: 3600, functionName: 'many', startTimestamp: FAR_FUTURE, ...fields });
}

before(async () => {
  await exh.tasks.functions.create(definition('echo'));
});

test('create answers the schedule, with dates and untouched data', async () => {
  const data = { snake_case: { inner_key: 1 }, camelCase: 2 };
  const schedule = await far({ functionName: 'echo', data, priority: 5 });
  assert.deepEqual([schedule.interval, schedule.functionName, schedule.priority], [3600, 'echo', 5]);
  assert.deepEqual(schedule.data, data);
  assert.deepEqual(schedule.startTimestamp, FAR_FUTURE);
  assert.deepEqual(schedule.nextTimestamp, FAR_FUTURE);
  assert.ok(schedule.creationTimestamp instanceof Date && schedule.updateTimestamp instanceof Date);
  const rql = rqlBuilder().eq('id', schedule.id).build();
  assert.deepEqual(await schedules.findFirst({ rql }), schedule);
});

test('a schedule that is due makes a task', async () => {
  const schedule = await schedules.create({ interval: 3600, functionName: 'echo', data: { beat: 1 } });
  const rql = rqlBuilder().eq('scheduleId', schedule.id).build();
  let task;
  while (!task) {
    task = await exh.tasks.findFirst({ rql });
    await delay(10);
  }
  assert.deepEqual(task.data, { beat: 1 });
  assert.equal((await finished(task)).status, 'complete');
  const after = await schedules.findFirst({ rql: rqlBuilder().eq('id', schedule.id).build() });
  assert.equal(after.nextTimestamp.getTime(), schedule.startTimestamp.getTime() + 3600_000);
});

test('find pages back and forth; findAll and findAllIterator find each once', async () => {
  const created = await Promise.all(Array.from({ length: 60 }, () => far()));
  const ids = created.map(schedule => schedule.id).sort();
  const rql = rqlBuilder().eq('functionName', 'many').build();
  const first = await schedules.find({ rql });
  assert.deepEqual(first.page, { total: 60, offset: 0, limit: 20 });
  const second = await first.next();
  assert.deepEqual(second.data.map(row => row.id), ids.slice(20, 40));
  assert.deepEqual((await second.previous()).data, first.data);
  assert.deepEqual((await schedules.findAll({ rql })).map(row => row.id), ids);
  assert.deepEqual((await collected(schedules.findAllIterator({ rql }))).map(row => row.id), ids);
});

test('remove and delete end a schedule', async () => {
  const [one, two] = [await far({ functionName: 'brief' }), await far({ functionName: 'brief' })];
  assert.deepEqual(await schedules.remove(one.id), AFFECTED);
  assert.deepEqual(await schedules.delete(two.id), AFFECTED);
  assert.equal(await schedules.findFirst({ rql: rqlBuilder().eq('functionName', 'brief').build() }), undefined);
  await assert.rejects(schedules.remove(one.id), errors.ResourceUnknownError);
});

test('errors have the classes of the SDK', async () => {
  await assert.rejects(schedules.create({ functionName: 'echo' }), errors.MissingRequiredFieldsError);
  await assert.rejects(far({ interval: 0 }), errors.FieldFormatError);
  await assert.rejects(schedules.remove('abc'), errors.IDFormatError);
  await assert.rejects(schedules.find({ rql: '?eq(a' }), errors.InvalidRqlError);
});
