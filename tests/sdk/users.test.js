// The methods of `exh.users` that are served, through the SDK.
const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const { before, test } = require('node:test');
const sdk = require('@extrahorizon/javascript-sdk');

const { host } = JSON.parse(readFileSync(process.env.TASKD_TEST_ENVIRONMENT, 'utf8'));
const { email, password, userId, consumer } = JSON.parse(readFileSync(process.env.TASKD_TEST_ACCOUNTS, 'utf8'));
const exh = sdk.createOAuth1Client({ host, ...consumer });
const MISSING = '0'.repeat(24);
const account = fields => ({
  firstName: 'Grace', lastName: 'Hopper', password: 'correct horse', phoneNumber: '1', language: 'EN', ...fields,
});

before(() => exh.auth.authenticate({ email, password }));

async function registered(address) {
  assert.equal(await exh.users.findByEmail(address), undefined);
  return await exh.users.createAccount(account({ email: address }));
}

test('every service says that it is well, and one that is not there has its own error', async () => {
  assert.equal(await exh.users.health(), true);
  for (const base of ['/auth/v2', '/tasks/v1']) {
    assert.equal((await fetch(`${host}${base}/health`)).status, 200);
  }
  await assert.rejects(exh.templates.find(), sdk.ServiceNotFoundError);
  await assert.rejects(exh.files.find(), sdk.ServiceNotFoundError);
});

test('users are registered, found and looked at', async () => {
  const user = await registered('grace@example.com');
  assert.equal(user.firstName, 'Grace');
  assert.ok(user.creationTimestamp instanceof Date && user.updateTimestamp instanceof Date);
  assert.ok(Math.abs(Date.now() - user.creationTimestamp) < 60_000);
  assert.equal((await exh.users.findById(user.id)).email, 'grace@example.com');
  assert.equal((await exh.users.findByEmail('grace@example.com')).id, user.id);
  assert.equal((await exh.users.findFirst({ rql: sdk.rqlBuilder().eq('id', user.id).build() })).id, user.id);
  assert.equal((await exh.users.me()).id, userId);
});

test('all users are found, page by page', async () => {
  for (let number = 0; number < 3; number += 1) {
    await registered(`page${number}@example.com`);
  }
  const all = await exh.users.findAll({ rql: sdk.rqlBuilder().like('email', 'page').build() });
  assert.equal(all.length, 3);
  const pages = exh.users.findAllIterator({ rql: sdk.rqlBuilder().like('email', 'page').build() });
  assert.equal((await pages.next()).value.page.total, 3);
  const first = await exh.users.find({ rql: sdk.rqlBuilder().like('email', 'page').limit(2).build() });
  assert.equal((await first.next()).data.length, 1);
});

test('roles are made, found, changed and removed', async () => {
  const role = await exh.users.globalRoles.create({ name: 'auditors', description: 'They look' });
  assert.ok(role.creationTimestamp instanceof Date);
  const rql = sdk.rqlBuilder().eq('name', 'auditors').build();
  assert.deepEqual(await exh.users.globalRoles.addPermissions(rql, { permissions: ['VIEW_AUDIT', 'OTHER'] }), {
    affectedRecords: 1,
  });
  const found = await exh.users.globalRoles.findById(role.id);
  assert.deepEqual(found.permissions.map(({ name }) => name), ['VIEW_AUDIT', 'OTHER']);
  assert.equal((await exh.users.globalRoles.update(role.id, { description: 'They read' })).description, 'They read');
  assert.ok((await exh.users.globalRoles.findAll()).some(({ id }) => id === role.id));
  assert.deepEqual(await exh.users.globalRoles.remove(rql), { affectedRecords: 1 });
  assert.equal(await exh.users.globalRoles.findByName('auditors'), undefined);
});

test('mistakes have the classes of their meaning', async () => {
  const { globalRoles } = exh.users;
  const nobody = sdk.rqlBuilder().eq('name', 'nobody').build();
  await assert.rejects(exh.users.findById(MISSING), sdk.ResourceUnknownError);
  await assert.rejects(exh.users.findById('x'), sdk.IDFormatError);
  await globalRoles.create({ name: 'taken', description: '' });
  await assert.rejects(globalRoles.create({ name: 'taken', description: '' }), sdk.ResourceAlreadyExistsError);
  await assert.rejects(globalRoles.create({}), sdk.MissingRequiredFieldsError);
  await assert.rejects(globalRoles.addPermissions(nobody, { permissions: ['X'] }), sdk.ResourceUnknownError);
  await assert.rejects(globalRoles.addPermissions(nobody, { permissions: [] }), sdk.FieldFormatError);
  await assert.rejects(exh.users.find({ rql: '?eq(' }), sdk.InvalidRqlError);
  await assert.rejects(exh.users.createAccount(account({ email: 'new@example.com' })), sdk.NoPermissionError);
  const user = await registered('stranger@example.com');
  const stranger = sdk.createOAuth1Client({ host, ...consumer });
  await stranger.auth.authenticate({ email: user.email, password: 'correct horse' });
  assert.equal((await stranger.users.findById(user.id)).email, user.email);
  await assert.rejects(stranger.users.find(), sdk.NoPermissionError);
});
