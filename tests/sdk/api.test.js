const assert = require('node:assert/strict');
const { before, test } = require('node:test');
const errors = require('@extrahorizon/javascript-sdk');
const { exh, rqlBuilder, definition, collected } = require('./taskd');

const { api, apiRequests } = exh.tasks;

before(async () => {
  await exh.tasks.functions.create(definition('api'));
  await exh.tasks.functions.create(definition('silent', { name: 'wrong' }));
  await exh.tasks.functions.create(definition('echo', { name: 'slow', timeLimit: 60 }));
});

async function requestsOf(path) {
  const rql = rqlBuilder().eq('path', path).build();
  let found = [];
  while (found.length === 0) {
    found = await apiRequests.findAll({ rql });
  }
  return found;
}

for (const method of ['get', 'delete']) {
  test(`${method} reaches the function`, async () => {
    const answer = await api[method]('api', 'some/path?q=1&r=%20', {});
    const expected = { method: method.toUpperCase(), path: '/some/path', query: '?q=1&r=%20', body: '', snake_key: 1 };
    assert.deepEqual(answer, expected);
  });
}

for (const method of ['post', 'put', 'patch']) {
  test(`${method} reaches the function with its body`, async () => {
    const answer = await api[method]('api', '/items', { snake_key: [1] }, {});
    assert.equal(answer.method, method.toUpperCase());
    assert.deepEqual(JSON.parse(answer.body), { snake_key: [1] });
  });
}

test('every call leaves a request, with its log', async () => {
  await api.get('api', 'left/behind', {});
  const [request] = await requestsOf('left/behind');
  assert.deepEqual([request.functionName, request.method, request.statusCode], ['api', 'GET', 200]);
  assert.ok(request.timestamp instanceof Date);
  assert.ok(request.duration >= 0 && request.duration < 30);
  assert.equal(request.error, undefined);
  const lines = await apiRequests.logs.find(request.id);
  assert.match(lines[0].message, /GET \/left\/behind/);
  assert.ok(lines[0].timestamp instanceof Date);
  assert.deepEqual(await apiRequests.logs.findFirst(request.id), lines[0]);
});

test('a request during which nothing was printed has no log', async () => {
  await assert.rejects(api.get('wrong', 'quiet', {}), errors.InvalidApiFunctionResultError);
  const [request] = await requestsOf('quiet');
  await assert.rejects(apiRequests.logs.find(request.id), errors.NoApiRequestLogsFoundError);
});

test('requests can be paged, and gone over', async () => {
  for (let number = 0; number < 3; number += 1) {
    await api.get('api', `paged/${number}`, {});
  }
  await requestsOf('paged/2');
  const rql = rqlBuilder().like('path', 'paged/').sort('timestamp').limit(2).build();
  const first = await apiRequests.find({ rql });
  assert.deepEqual(first.page, { total: 3, offset: 0, limit: 2 });
  const second = await first.next();
  assert.deepEqual(second.data.map(request => request.path), ['paged/2']);
  assert.deepEqual((await second.previous()).data, first.data);
  const unlimited = rqlBuilder().like('path', 'paged/').build();
  assert.equal((await collected(apiRequests.findAllIterator({ rql: unlimited }))).length, 3);
  assert.equal((await apiRequests.findFirst({ rql: unlimited })).functionName, 'api');
});

test('failures have the classes of the SDK and are kept with the request', async () => {
  await assert.rejects(api.get('api', 'broken', {}), errors.InvalidApiFunctionResultError);
  assert.equal((await requestsOf('broken'))[0].error.type, 'response');
  await assert.rejects(api.get('api', 'raises', {}), error => {
    assert.ok(error instanceof errors.LambdaRuntimeError);
    assert.deepEqual(error.response.runtimeError, { name: 'TypeError', message: 'no such valve' });
    return true;
  });
  const [{ error }] = await requestsOf('raises');
  assert.deepEqual(error, { type: 'runtime', name: 'TypeError', message: 'no such valve' });
  await assert.rejects(api.get('wrong', '/', {}), errors.InvalidApiFunctionResultError);
  await assert.rejects(api.get('slow', '/', {}), errors.TimeLimitExceedsApiFunctionMaximumError);
  await assert.rejects(api.get('nobody', '/', {}), errors.ResourceUnknownError);
});
