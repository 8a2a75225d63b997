// What Extra Horizon's command line tool, `exh` 1.13.6, does for `exh dispatchers sync`: its calls, in its order.
const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const { before, test } = require('node:test');
const sdk = require('@extrahorizon/javascript-sdk');

const { host } = JSON.parse(readFileSync(process.env.TASKD_TEST_ENVIRONMENT, 'utf8'));
const { email, password, consumer } = JSON.parse(readFileSync(process.env.TASKD_TEST_ACCOUNTS, 'utf8'));
const MANAGED = 'EXH_CLI_MANAGED';
const LIST = 'GET /dispatchers/v1/?eq(tags,EXH%255FCLI%255FMANAGED)&limit(50)';
const START = ['GET /users/v1/me', LIST];

let kept;

// A command, in a process of its own: it shows what `exh login` kept, and gives the requests that it took, bodies too.
async function command(work) {
  const requests = [];
  const requestLogger = ({ method, url, data }) => {
    const { pathname, search } = new URL(url, host);
    const body = data && method.toUpperCase() !== 'GET' ? ` ${typeof data === 'string' ? data : JSON.stringify(data)}` : '';
    requests.push(`${method.toUpperCase()} ${pathname}${search}${body}`);
  };
  const exh = sdk.createOAuth1Client({ host, ...consumer, requestLogger });
  await exh.auth.authenticate(kept);
  await work(exh);
  return requests;
}

// Actions are matched by their names. What is sent is the whole local action, its type included.
async function syncActions(exh, there, actions) {
  for (const action of actions) {
    const known = there.actions.find(({ name }) => name === action.name);
    if (known) {
      assert.equal((await exh.dispatchers.actions.update(there.id, known.id, action)).affectedRecords, 1);
    } else {
      await exh.dispatchers.actions.create(there.id, action);
    }
  }
  for (const { id, name } of there.actions) {
    if (!actions.some(action => action.name === name)) {
      assert.equal((await exh.dispatchers.actions.remove(there.id, id)).affectedRecords, 1);
    }
  }
}

async function sync(exh, local, { clean = false } = {}) {
  const rql = sdk.rqlBuilder().eq('tags', MANAGED).build();
  const managed = await exh.dispatchers.findAll({ rql });
  for (const each of local) {
    const dispatcher = { ...each, tags: [...(each.tags || []), MANAGED] };
    const there = managed.find(({ name }) => name === dispatcher.name);
    if (there) {
      assert.equal((await exh.dispatchers.update(there.id, dispatcher)).affectedRecords, 1);
      await syncActions(exh, there, dispatcher.actions);
    } else {
      await exh.dispatchers.create(dispatcher);
    }
  }
  for (const { id, name } of clean ? managed : []) {
    if (!local.some(each => each.name === name)) {
      assert.equal((await exh.dispatchers.remove(id)).affectedRecords, 1);
    }
  }
}

async function managed() {
  let found;
  await command(async exh => {
    found = await exh.dispatchers.findAll({ rql: sdk.rqlBuilder().eq('tags', MANAGED).build() });
  });
  return Object.fromEntries(found.map(dispatcher => [dispatcher.name, dispatcher]));
}

const run = { type: 'task', name: 'run', functionName: 'on-order', data: { snake_case: { camelCase: [] } } };
const mail = {
  type: 'mail', name: 'tell', recipients: { to: ['a@example.com'] }, templateId: '1'.repeat(24), templateName: 'order',
};
const orders = { name: 'orders', eventType: 'order', description: 'of the shop', actions: [run, mail] };
const failures = { name: 'failures', eventType: 'task_failed', actions: [{ ...run, functionName: 'on-failure' }] };
const others = { name: 'by-hand', eventType: 'order', actions: [] };

before(async () => {
  const exh = sdk.createOAuth1Client({ host, ...consumer });
  const { token, tokenSecret } = await exh.auth.authenticate({ email, password });
  kept = { token, tokenSecret };
  await exh.dispatchers.create(others);
});

test('exh dispatchers sync creates what is not there', async () => {
  const requests = await command(exh => sync(exh, [orders, failures]));
  const body = dispatcher => JSON.stringify({ ...dispatcher, tags: [MANAGED] });
  assert.deepEqual(requests, [...START, `POST /dispatchers/v1/ ${body(orders)}`, `POST /dispatchers/v1/ ${body(failures)}`]);
  const { orders: there } = await managed();
  const { templateName, ...known } = mail;
  assert.deepEqual(there.actions.map(({ id, ...rest }) => rest), [run, known]);
  assert.deepEqual([there.description, there.tags, there.eventType], ['of the shop', [MANAGED], 'order']);
});

test('exh dispatchers sync again changes each, and nothing of it is another', async () => {
  const earlier = await managed();
  const requests = await command(exh => sync(exh, [orders, failures]));
  const { id, actions } = earlier.orders;
  const put = `PUT /dispatchers/v1/${id}`;
  assert.deepEqual(requests.slice(0, 5), [
    ...START,
    `${put} ${JSON.stringify({ ...orders, tags: [MANAGED] })}`,
    `${put}/actions/${actions[0].id} ${JSON.stringify(run)}`,
    `${put}/actions/${actions[1].id} ${JSON.stringify(mail)}`,
  ]);
  assert.equal(requests.length, 7);
  const later = await managed();
  for (const name of ['orders', 'failures']) {
    assert.deepEqual({ ...later[name], updateTimestamp: 0 }, { ...earlier[name], updateTimestamp: 0 });
  }
});

test('exh dispatchers sync adds, changes and removes actions', async () => {
  const { id, actions } = (await managed()).orders;
  const changed = { ...run, functionName: 'on-order-2', data: { other: 1 } };
  const more = { type: 'task', name: 'more', functionName: 'more', tags: ['x'] };
  const requests = await command(exh => sync(exh, [{ ...orders, actions: [changed, more] }, failures]));
  const path = `/dispatchers/v1/${id}/actions`;
  assert.deepEqual(requests.slice(3, 6), [
    `PUT ${path}/${actions[0].id} ${JSON.stringify(changed)}`,
    `POST ${path} ${JSON.stringify(more)}`,
    `DELETE ${path}/${actions[1].id}`,
  ]);
  const there = (await managed()).orders;
  assert.deepEqual(there.actions, [{ ...changed, id: actions[0].id }, { ...more, id: there.actions[1].id }]);
});

test('exh dispatchers sync --clean removes what is tagged and not in the file, and nothing else', async () => {
  const { id } = (await managed()).failures;
  const requests = await command(exh => sync(exh, [orders], { clean: true }));
  assert.equal(requests.at(-1), `DELETE /dispatchers/v1/${id}`);
  assert.deepEqual(Object.keys(await managed()), ['orders']);
  await command(async exh => {
    const names = (await exh.dispatchers.findAll()).map(({ name }) => name);
    assert.deepEqual(names.sort(), ['by-hand', 'orders']);
  });
});
