const assert = require('node:assert/strict');
const { before, test } = require('node:test');
const errors = require('@extrahorizon/javascript-sdk');
const { exh, rqlBuilder, definition, finished, collected, delay, FAR_FUTURE } = require('./taskd');

const { events, dispatchers } = exh;
const AFFECTED = { affectedRecords: 1 };
const UNKNOWN = '0'.repeat(24);

async function tasksOf(eventType) {
  const rql = rqlBuilder().eq('data.event.type', eventType).build();
  return await exh.tasks.findAll({ rql });
}

before(async () => {
  await exh.tasks.functions.create(definition('echo', { executionOptions: { defaultPriority: 7 } }));
});

test('events.create answers the event; its content is in snake_case unless it is to be left alone', async () => {
  const content = { userId: 'u', list: [{ innerKey: 1 }], emptyList: [], emptyObject: {} };
  const event = await events.create({ type: 'sdk_event', content });
  assert.match(event.id, /^[0-9a-f]{24}$/);
  assert.ok(event.creationTimestamp instanceof Date);
  assert.deepEqual([event.type, event.content], ['sdk_event', content]);
  const asItIs = await events.create({ type: 'sdk_event', content }, { normalizeEventContent: false });
  assert.deepEqual(asItIs.content, content);
  assert.deepEqual(await events.findById(event.id), event);
  const bySnake = rqlBuilder().eq('type', 'sdk_event').eq('content.user_id', 'u').build();
  assert.deepEqual((await events.find({ rql: bySnake })).data, [event]);
  const byCamel = rqlBuilder().eq('content.userId', 'u').build();
  assert.equal((await events.findFirst({ rql: byCamel })).id, asItIs.id);
  assert.equal((await events.create({ type: 'sdk_bare' })).content, undefined);
});

test('events.health says that the service is there', async () => {
  assert.equal(await events.health(), true);
});

test('events.find pages, and findAll finds each once', async () => {
  const created = await Promise.all(Array.from({ length: 120 }, () => events.create({ type: 'many' })));
  const rql = rqlBuilder().eq('type', 'many').sort('-creation_timestamp').build();
  assert.deepEqual((await events.find({ rql })).page, { total: 120, offset: 0, limit: 20 });
  const most = rqlBuilder().eq('type', 'many').limit(1000).build();
  assert.equal((await events.find({ rql: most })).page.limit, 100);
  const found = await events.findAll({ rql: rqlBuilder().eq('type', 'many').build() });
  assert.deepEqual(found.map(({ id }) => id).sort(), created.map(({ id }) => id).sort());
});

test('events.subscriptions are kept and listed', async () => {
  const service = { name: 'mailer', version: { major: 1, minor: 2, patch: 3 } };
  const kept = await events.subscriptions.create({ service, eventTypes: ['a', 'b'], retriable: true });
  assert.deepEqual([kept.service, kept.eventTypes, kept.retriable], [service, ['a', 'b'], true]);
  assert.ok(kept.creationTimestamp instanceof Date && kept.updateTimestamp instanceof Date);
  assert.deepEqual(await events.subscriptions.findById(kept.id), kept);
  assert.deepEqual(await events.subscriptions.findFirst({ rql: rqlBuilder().eq('service.name', 'mailer').build() }), kept);
  assert.deepEqual((await events.subscriptions.find()).data, [kept]);
  assert.deepEqual(await events.subscriptions.findAll(), [kept]);
});

test('a dispatcher makes tasks of an event, and its data is left alone', async () => {
  const data = { snake_case: 1, camelCase: { in_ner: [] }, event: 'overwritten' };
  const action = { type: 'task', name: 'run', functionName: 'echo', data, tags: ['x'] };
  const later = { type: 'task', name: 'later', functionName: 'echo', startTimestamp: FAR_FUTURE };
  const created = await dispatchers.create({ eventType: 'sdk_order', name: 'orders', actions: [action, later], tags: ['t'] });
  assert.ok(created.creationTimestamp instanceof Date && created.updateTimestamp instanceof Date);
  assert.deepEqual(created.actions.map(({ id, ...rest }) => rest), [action, later]);
  assert.deepEqual(await dispatchers.findById(created.id), created);
  assert.deepEqual(await dispatchers.findFirst({ rql: rqlBuilder().eq('tags', 't').build() }), created);
  const event = await events.create({ type: 'sdk_order', content: { number: 5 } });
  const [first, second] = await tasksOf('sdk_order');
  assert.equal((await finished(first)).status, 'complete');
  const { id, type, content } = first.data.event;
  assert.deepEqual({ ...first.data, event: undefined }, { ...data, event: undefined });
  assert.deepEqual([id, type, content, first.data.event.creation_timestamp], [event.id, 'sdk_order', { number: 5 }, event.creationTimestamp.getTime()]);
  assert.deepEqual([first.priority, first.tags, second.startTimestamp], [7, ['x'], FAR_FUTURE]);
});

test('dispatchers and their actions are changed and removed', async () => {
  const { id } = await dispatchers.create({ eventType: 'sdk_changed', name: 'changed', actions: [] });
  const mail = { type: 'mail', name: 'm', recipients: { to: ['a@example.com'] }, templateId: '1'.repeat(24) };
  const added = await dispatchers.actions.create(id, mail);
  assert.deepEqual({ ...mail, id: added.id }, added);
  const run = await dispatchers.actions.create(id, { type: 'task', functionName: 'echo', data: { a_b: 1 } });
  assert.deepEqual(run.data, { a_b: 1 });
  assert.deepEqual(await dispatchers.actions.update(id, added.id, { name: 'renamed', type: 'mail' }), AFFECTED);
  assert.deepEqual(await dispatchers.actions.update(id, run.id, { data: { c_d: 2 } }), AFFECTED);
  assert.deepEqual(await dispatchers.update(id, { name: 'new name', description: 'why', actions: [] }), AFFECTED);
  const now = await dispatchers.findById(id);
  assert.deepEqual([now.name, now.description, now.eventType], ['new name', 'why', 'sdk_changed']);
  assert.deepEqual(now.actions, [{ ...added, name: 'renamed' }, { ...run, data: { c_d: 2 } }]);
  assert.deepEqual(await dispatchers.actions.remove(id, run.id), AFFECTED);
  assert.deepEqual((await dispatchers.findById(id)).actions.length, 1);
  assert.deepEqual(await dispatchers.remove(id), AFFECTED);
  assert.equal(await dispatchers.findById(id), undefined);
});

test('dispatchers.findAll and findAllIterator find each once', async () => {
  for (let number = 0; number < 60; number += 1) {
    await dispatchers.create({ eventType: 'sdk_all', actions: [] });
  }
  const rql = rqlBuilder().eq('eventType', 'sdk_all').build();
  assert.deepEqual((await dispatchers.find({ rql })).page, { total: 60, offset: 0, limit: 20 });
  const all = await dispatchers.findAll({ rql });
  assert.equal(new Set(all.map(({ id }) => id)).size, 60);
  assert.deepEqual(await collected(dispatchers.findAllIterator({ rql })), all);
});

test('a task that fails is an event', async () => {
  const task = await exh.tasks.create({ functionName: 'sdk-unknown' });
  assert.equal((await finished(task)).status, 'failed');
  const rql = rqlBuilder().eq('type', 'task_failed').eq('content.id', task.id).build();
  const { content } = await events.findFirst({ rql });
  assert.deepEqual([content.functionName, Object.keys(content.error)], ['sdk-unknown', ['type', 'name', 'message']]);
});

test('errors have the classes of the SDK', async () => {
  await assert.rejects(events.create({}), errors.MissingRequiredFieldsError);
  await assert.rejects(events.create({ type: 5 }), errors.FieldFormatError);
  await assert.rejects(events.create({ type: 't', content: 'text' }), errors.FieldFormatError);
  await assert.rejects(events.create(undefined), errors.EmptyBodyError);
  await assert.rejects(events.find({ rql: '?eq(a' }), errors.InvalidRqlError);
  const service = { name: 's', version: { major: 1, minor: 0, patch: 0 } };
  await assert.rejects(events.subscriptions.create({ service }), errors.MissingRequiredFieldsError);
  await assert.rejects(dispatchers.create({ eventType: 't' }), errors.MissingRequiredFieldsError);
  await assert.rejects(dispatchers.create({ eventType: 't', actions: [{ type: 'task' }] }), errors.MissingRequiredFieldsError);
  await assert.rejects(dispatchers.create({ eventType: 't', actions: [{ type: 'fax' }] }), errors.FieldFormatError);
  await dispatchers.create({ eventType: 't', name: 'taken', actions: [] });
  await assert.rejects(dispatchers.create({ eventType: 't', name: 'taken', actions: [] }), errors.ResourceAlreadyExistsError);
  await assert.rejects(dispatchers.update(UNKNOWN, {}), errors.ResourceUnknownError);
  await assert.rejects(dispatchers.remove('abc'), errors.IDFormatError);
  await assert.rejects(dispatchers.actions.create(UNKNOWN, { type: 'mail' }), errors.ResourceUnknownError);
  const kept = await dispatchers.create({ eventType: 't', actions: [{ type: 'mail' }] });
  await assert.rejects(dispatchers.actions.update(kept.id, UNKNOWN, {}), errors.ResourceUnknownError);
  await assert.rejects(dispatchers.actions.update(kept.id, kept.actions[0].id, { type: 'task' }), errors.FieldFormatError);
  await assert.rejects(dispatchers.actions.remove(kept.id, UNKNOWN), errors.ResourceUnknownError);
});
