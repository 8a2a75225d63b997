const assert = require('node:assert/strict');
const { before, test } = require('node:test');
const { exh, rqlBuilder, waiting, FAR_FUTURE } = require('./taskd');

const AWKWARD = [
  'a)b', '(a', 'a,b', 'é', '日本', '50%', '%41', '%2541', 'with space', "it's", '"quoted"', '<', '>=', 'a=b', 'a/b', '\\',
  '👩‍🚀', 'a&b', 'a|b', 'string:x', 'a+b', '*', '-', '_.!~', 'semi;colon', '#', '?', 'tab\there', 'line\nbreak',
];

const ids = tasks => tasks.map(task => task.id).sort();
const texts = tasks => tasks.map(task => task.data.text).sort();
const all = async builder => await exh.tasks.findAll({ rql: builder.build() });
const here = () => rqlBuilder().eq('tags', 'rql');

before(async () => {
  await Promise.all(AWKWARD.map(text => waiting({ tags: ['rql', text], data: { text, list: [{ text }, { n: 1 }] } })));
});

for (const text of AWKWARD) {
  test(`the value ${JSON.stringify(text)} finds its task alone`, async () => {
    assert.deepEqual(texts(await all(here().eq('data.text', text))), [text]);
    assert.deepEqual(texts(await all(rqlBuilder().eq('tags', text))), [text]);
    assert.deepEqual(texts(await all(here().in('data.text', [text, 'missing']))), [text]);
    assert.deepEqual(texts(await all(here().contains('data.list', rqlBuilder().eq('text', text).intermediate()))), [text]);
    assert.ok(texts(await all(here().like('data.text', text))).includes(text));
    const others = AWKWARD.filter(other => other !== text).sort();
    assert.deepEqual(texts(await all(here().ne('data.text', text))), others);
    assert.deepEqual(texts(await all(here().out('data.text', [text]))), others);
  });
}

test('comparisons of times take what a date prints as', async () => {
  const [first, second] = [await waiting({ tags: ['time'] }), await waiting({ tags: ['time'] })];
  const tagged = () => rqlBuilder().eq('tags', 'time');
  const moment = first.creationTimestamp.toISOString();
  assert.deepEqual(ids(await all(tagged().ge('creationTimestamp', moment))), ids([first, second]));
  assert.deepEqual(ids(await all(tagged().lt('creationTimestamp', moment))), []);
  assert.deepEqual(ids(await all(tagged().eq('startTimestamp', FAR_FUTURE.toISOString()))), ids([first, second]));
  assert.deepEqual(ids(await all(tagged().gt('startTimestamp', FAR_FUTURE.toISOString()))), []);
  assert.deepEqual(ids(await all(tagged().le('startTimestamp', FAR_FUTURE.toISOString()))), ids([first, second]));
});

test('conditions combine', async () => {
  const either = rqlBuilder().or(rqlBuilder().eq('data.text', '<').intermediate(), rqlBuilder().eq('data.text', '#').intermediate());
  assert.deepEqual(texts(await all(either)), ['#', '<']);
  const both = rqlBuilder().and(rqlBuilder().eq('tags', '#').intermediate(), rqlBuilder().eq('tags', 'rql').intermediate());
  assert.deepEqual(texts(await all(both)), ['#']);
  assert.equal((await all(here().contains('data.text'))).length, AWKWARD.length);
  assert.equal((await all(here().excludes('data.text'))).length, 0);
});

test('sort, select, limit and skipCount shape the page', async () => {
  const rql = here().sort(['-data.text']).select(['data.text']).limit(3, 1).skipCount().build();
  const { page, data } = await exh.tasks.find({ rql });
  assert.deepEqual(page, { offset: 1, limit: 3 });
  assert.equal(data.length, 3);
  assert.deepEqual(Object.keys(data[0]).sort(), ['data', 'id']);
  assert.deepEqual(Object.keys(data[0].data), ['text']);
  assert.ok(data[0].data.text > data[2].data.text);
});
