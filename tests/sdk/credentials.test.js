// What Extra Horizon's command line tool, `exh` 1.13.6, does for a function with `executionCredentials`: its requests,
// byte for byte, of the first sync, of another one, and of one with other permissions.
const assert = require('node:assert/strict');
const { randomBytes } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { after, before, test } = require('node:test');
const sdk = require('@extrahorizon/javascript-sdk');
const { recorder } = require('./recorder.js');

const { host, runtime, zips } = JSON.parse(readFileSync(process.env.TASKD_TEST_ENVIRONMENT, 'utf8'));
const { email, password, consumer } = JSON.parse(readFileSync(process.env.TASKD_TEST_ACCOUNTS, 'utf8'));

const TASK = 'callback';
const ROLE = `exh.tasks.${TASK}`;
const EMAIL = `exh.tasks+${TASK}@extrahorizon.com`;
const BY_NAME = '?eq(name,exh%252Etasks%252Ecallback)';
const ME = 'GET /users/v1/me';
const ROLES = '/users/v1/roles';
const FOREIGN = ['VIEW_DOCUMENTS:blood-pressure-measurement', 'SEND_MAILS'];

let kept;
let secret;
let credentials;
let recorded;

before(async () => {
  kept = await sdk.createOAuth1Client({ host, ...consumer }).auth.authenticate({ email, password });
  recorded = await recorder(host);
});

after(() => recorded.close());

const client = () => sdk.createOAuth1Client({ host: recorded.host, ...consumer });

async function command(work) {
  recorded.requests.length = 0;
  const exh = client();
  await exh.auth.authenticate({ token: kept.key, tokenSecret: kept.secret });
  await work(exh);
  return recorded.requests.map(({ line, body, isSigned }) => ({ line, body: body && JSON.parse(body), isSigned }));
}

async function syncRole(exh, permissions) {
  let role = await exh.users.globalRoles.findByName(ROLE);
  if (!role) {
    role = await exh.users.globalRoles.create({ name: ROLE, description: `A role created by the CLI for the execution of ${ROLE}` });
  }
  const rql = sdk.rqlBuilder().eq('name', ROLE).build();
  const held = (role.permissions || []).map(({ name }) => name);
  const added = permissions.filter(name => !held.includes(name));
  const gone = held.filter(name => !permissions.includes(name));
  if (added.length) {
    assert.equal((await exh.users.globalRoles.addPermissions(rql, { permissions: added })).affectedRecords, 1);
  }
  if (gone.length) {
    assert.equal((await exh.users.globalRoles.removePermissions(rql, { permissions: gone })).affectedRecords, 1);
  }
  return role;
}

async function assignRole(exh, user, role) {
  if (!(user.roles || []).some(({ id }) => id === role.id)) {
    const rql = sdk.rqlBuilder().eq('id', user.id).build();
    assert.equal((await exh.users.globalRoles.addToUsers(rql, { roles: [role.id] })).affectedRecords, 1);
  }
}

async function newCredentials(exh, role) {
  secret = `0Oo-${randomBytes(16).toString('hex')}`;
  const user = await exh.users.createAccount({
    firstName: ROLE, lastName: 'Execution', email: EMAIL, password: secret, phoneNumber: '0000000000', language: 'EN', activationMode: 'manual',
  });
  await assignRole(exh, user, role);
  const { token, tokenSecret } = await client().auth.authenticate({ email: EMAIL, password: secret });
  return { token, tokenSecret };
}

async function formerCredentials(exh, user, role) {
  const { environmentVariables: there } = await exh.tasks.functions.getByName(TASK);
  const token = there.API_OAUTH_TOKEN.value;
  const tokenSecret = there.API_OAUTH_TOKEN_SECRET.value;
  const own = client();
  await own.auth.authenticate({ token, tokenSecret });
  await assignRole(exh, user, role);
  return { token, tokenSecret };
}

async function sync(exh, permissions) {
  const role = await syncRole(exh, permissions);
  const user = await exh.users.findByEmail(EMAIL);
  credentials = user ? await formerCredentials(exh, user, role) : await newCredentials(exh, role);
  const environmentVariables = {
    API_HOST: { value: host },
    API_OAUTH_CONSUMER_KEY: { value: consumer.consumerKey },
    API_OAUTH_CONSUMER_SECRET: { value: consumer.consumerSecret },
    API_OAUTH_TOKEN: { value: credentials.token },
    API_OAUTH_TOKEN_SECRET: { value: credentials.tokenSecret },
  };
  const definition = { name: TASK, code: zips.callback, entryPoint: 'index.handler', runtime, description: 'none', environmentVariables };
  const { data } = await exh.tasks.functions.find();
  if (!data.some(({ name }) => name === TASK)) {
    return exh.tasks.functions.create(definition);
  }
  const { runtime: _, ...changes } = definition;
  return exh.tasks.functions.update(TASK, changes);
}

async function callsBack() {
  const exh = sdk.createOAuth1Client({ host, ...consumer });
  await exh.auth.authenticate({ token: kept.key, tokenSecret: kept.secret });
  return (await exh.tasks.functions.execute(TASK, {})).result;
}

const lines = requests => requests.map(({ line }) => line);

test('the first sync makes a role, a user who has it and a token of theirs, and deploys the function with it', async () => {
  const requests = await command(exh => sync(exh, ['VIEW_TASKS', ...FOREIGN]));
  const user = requests[6].line.slice('POST /users/v1/add_roles?eq(id,'.length, -1);
  assert.match(user, /^[0-9a-f]{24}$/);
  assert.deepEqual(lines(requests), [
    ME,
    `GET ${ROLES}${BY_NAME}`,
    `POST ${ROLES}`,
    `POST ${ROLES}/add_permissions${BY_NAME}`,
    'GET /users/v1/?eq(email,exh%252Etasks%252Bcallback%2540extrahorizon%252Ecom)',
    'POST /users/v1/register',
    `POST /users/v1/add_roles?eq(id,${user})`,
    'POST /auth/v2/oauth1/tokens',
    'GET /tasks/v1/functions/',
    'POST /tasks/v1/functions/',
  ]);
  assert.deepEqual(requests[2].body, { name: ROLE, description: `A role created by the CLI for the execution of ${ROLE}` });
  assert.deepEqual(requests[3].body, { permissions: ['VIEW_TASKS', ...FOREIGN] });
  assert.deepEqual(requests[5].body, {
    first_name: ROLE, last_name: 'Execution', email: EMAIL, password: secret, phone_number: '0000000000', language: 'EN', activation_mode: 'manual',
  });
  assert.deepEqual(requests.filter(({ isSigned }) => !isSigned).map(({ line }) => line), ['POST /users/v1/register']);
  const { id, ...said } = await callsBack();
  assert.deepEqual(said, { email: EMAIL, roles: [ROLE], tasks: 200 });
});

test('another sync finds all of it, the permissions that mean nothing here as well, and changes the function alone', async () => {
  const { token } = credentials;
  const requests = await command(exh => sync(exh, ['VIEW_TASKS', ...FOREIGN]));
  assert.deepEqual(lines(requests), [
    ME,
    `GET ${ROLES}${BY_NAME}`,
    'GET /users/v1/?eq(email,exh%252Etasks%252Bcallback%2540extrahorizon%252Ecom)',
    `GET /tasks/v1/functions/${TASK}`,
    ME,
    'GET /tasks/v1/functions/',
    `PUT /tasks/v1/functions/${TASK}`,
  ]);
  assert.equal(credentials.token, token);
});

test('a sync with other permissions changes what the function may do when it calls back', async () => {
  const requests = await command(exh => sync(exh, ['CREATE_TASKS', FOREIGN[0]]));
  assert.deepEqual(lines(requests).slice(1, 4), [
    `GET ${ROLES}${BY_NAME}`,
    `POST ${ROLES}/add_permissions${BY_NAME}`,
    `POST ${ROLES}/remove_permissions${BY_NAME}`,
  ]);
  assert.deepEqual([requests[2].body, requests[3].body], [
    { permissions: ['CREATE_TASKS'] }, { permissions: ['VIEW_TASKS', FOREIGN[1]] },
  ]);
  assert.equal((await callsBack()).tasks, 401);
});

test('a user whose role was taken gets it again', async () => {
  await command(async exh => {
    const { id } = await exh.users.findByEmail(EMAIL);
    const role = await exh.users.globalRoles.findByName(ROLE);
    const rql = sdk.rqlBuilder().eq('id', id).build();
    assert.equal((await exh.users.globalRoles.removeFromUser(rql, { roles: [role.id] })).affectedRecords, 1);
  });
  assert.deepEqual((await callsBack()).roles, []);
  const requests = await command(exh => sync(exh, ['CREATE_TASKS', FOREIGN[0]]));
  assert.ok(lines(requests).some(line => line.startsWith('POST /users/v1/add_roles?eq(id,')));
  assert.deepEqual((await callsBack()).roles, [ROLE]);
});
