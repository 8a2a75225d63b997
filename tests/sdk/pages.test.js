const assert = require('node:assert/strict');
const { test } = require('node:test');
const { exh, rqlBuilder, waiting, collected } = require('./taskd');

test('findAll and findAllIterator find each task once where pages are shorter than asked for', async () => {
  const ids = [];
  for (const size of [300_000, 10, 900_000, 1_500_000, 20_000, 400_000, 400_000, 400_000, 1]) {
    ids.push((await waiting({ data: { text: 'x'.repeat(size) }, tags: ['large'] })).id);
  }
  const rql = rqlBuilder().eq('tags', 'large').build();
  const first = await exh.tasks.find({ rql });
  assert.ok(first.data.length < ids.length);
  assert.equal(first.page.limit, first.data.length);
  assert.equal(first.page.total, ids.length);
  assert.deepEqual((await exh.tasks.findAll({ rql })).map(task => task.id), ids);
  assert.deepEqual((await collected(exh.tasks.findAllIterator({ rql }))).map(task => task.id), ids);
  assert.equal((await exh.tasks.findAll({ rql }))[3].data.text.length, 1_500_000);
});
