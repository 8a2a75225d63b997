// Who may do what, as the SDK's two clients and command line tools built on it see it.
const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const { test } = require('node:test');
const sdk = require('@extrahorizon/javascript-sdk');

const environment = JSON.parse(readFileSync(process.env.TASKD_TEST_ENVIRONMENT, 'utf8'));
const accounts = JSON.parse(readFileSync(process.env.TASKD_TEST_ACCOUNTS, 'utf8'));
const { host, runtime, zips } = environment;
const { email, password, userId, clientId, secretClient, consumer, expiredToken } = accounts;

const oauth2 = fields => sdk.createOAuth2Client({ host, clientId, ...fields });
const oauth1 = fields => sdk.createOAuth1Client({ host, ...consumer, ...fields });
const task = { functionName: 'nobody', startTimestamp: new Date('2199-01-01T00:00:00.000Z') };

test('without logging in nothing is answered', async () => {
  await assert.rejects(oauth2().tasks.find(), sdk.UserNotAuthenticatedError);
});

test('OAuth 2: a password logs in, and the task says who made it', async () => {
  const exh = oauth2();
  const tokens = await exh.auth.authenticate({ username: email, password });
  assert.equal(tokens.tokenType, 'Bearer');
  assert.equal(tokens.userId, userId);
  const created = await exh.tasks.create(task);
  assert.equal(created.createdByUserId, userId);
  assert.equal(created.createdByApplicationId, tokens.applicationId);
  assert.equal((await exh.users.me()).email, email);
  assert.equal((await exh.users.me()).firstName, 'Ada');
});

test('OAuth 2: a client with a secret logs in with it, and not without', async () => {
  await oauth2(secretClient).auth.authenticate({ username: email, password });
  const withoutSecret = oauth2({ clientId: secretClient.clientId });
  await assert.rejects(withoutSecret.auth.authenticate({ username: email, password }), sdk.InvalidClientError);
});

test('OAuth 2: a wrong password and an unknown client are told apart', async () => {
  await assert.rejects(oauth2().auth.authenticate({ username: email, password: 'wrong' }), error => {
    assert.ok(error instanceof sdk.InvalidGrantError);
    assert.ok(error.exhError instanceof sdk.AuthenticationError);
    return true;
  });
  const stranger = oauth2({ clientId: 'stranger' });
  await assert.rejects(stranger.auth.authenticate({ username: email, password }), sdk.InvalidClientError);
});

test('OAuth 2: a refresh token logs in', async () => {
  const { refreshToken } = await oauth2().auth.authenticate({ username: email, password });
  const exh = oauth2();
  await exh.auth.authenticate({ refreshToken });
  assert.equal((await exh.users.me()).id, userId);
  await assert.rejects(exh.auth.authenticate({ refreshToken: `${refreshToken}x` }), error => {
    assert.ok(error.exhError instanceof sdk.RefreshTokenUnknownError);
    return true;
  });
});

test('OAuth 2: an expired token is refreshed on the way', async () => {
  const { refreshToken } = await oauth2().auth.authenticate({ username: email, password });
  const fresh = [];
  const exh = oauth2({ refreshToken, accessToken: expiredToken, freshTokensCallback: token => fresh.push(token) });
  assert.equal((await exh.tasks.create(task)).createdByUserId, userId);
  assert.equal(fresh.length, 1);
});

test('OAuth 2: calls at once that refresh an expired token all go on, and so does the login', async () => {
  const { refreshToken } = await oauth2().auth.authenticate({ username: email, password });
  const fresh = [];
  const exh = oauth2({ refreshToken, accessToken: expiredToken, freshTokensCallback: token => fresh.push(token) });
  const users = await Promise.all(Array.from({ length: 5 }, () => exh.users.me()));
  assert.deepEqual(users.map(user => user.id), Array(5).fill(userId));
  const successors = new Set(fresh.map(token => token.refreshToken));
  assert.ok(fresh.length > successors.size, 'several calls refreshed with the same token');
  assert.ok(!successors.has(refreshToken));
  const next = oauth2({ refreshToken: fresh.at(-1).refreshToken, accessToken: expiredToken });
  assert.equal((await next.users.me()).id, userId);
});

test('OAuth 2: a token about to expire is refreshed before it does', async () => {
  const { refreshToken, accessToken } = await oauth2().auth.authenticate({ username: email, password });
  const fresh = [];
  const times = { expiresIn: 5, creationTimestamp: new Date() };
  const exh = oauth2({ refreshToken, accessToken, ...times, freshTokensCallback: token => fresh.push(token) });
  await exh.tasks.find();
  assert.equal(fresh.length, 1);
});

test('OAuth 1: a command line tool logs in, and manages functions from then on', async () => {
  const login = await oauth1().auth.authenticate({ email, password });
  assert.equal(login.userId, userId);
  assert.ok(login.id && login.applicationId);

  const exh = oauth1();
  await exh.auth.authenticate({ token: login.key, tokenSecret: login.secret });
  assert.equal((await exh.users.me()).email, email);

  const definition = { name: 'deployed', code: accounts.zip, entryPoint: 'index.handler', runtime };
  await exh.tasks.functions.create(definition);
  assert.equal((await exh.tasks.functions.find()).data.length, 1);
  assert.deepEqual(await exh.tasks.functions.update('deployed', { description: 'new', code: zips.echo }), {
    affectedRecords: 1,
  });
  assert.equal((await exh.tasks.functions.getByName('deployed')).description, 'new');
  await exh.tasks.functions.remove('deployed');
  await assert.rejects(exh.tasks.functions.getByName('deployed'), sdk.ResourceUnknownError);
});

test('OAuth 1: queries with every kind of character are signed as they are read', async () => {
  const exh = oauth1();
  await exh.auth.authenticate({ email, password });
  const tags = ["a b+c&d=e/f?g'h(i)!*~,;:@é%25", 'plain'];
  const created = await exh.tasks.create({ ...task, tags });
  for (const tag of tags) {
    const rql = sdk.rqlBuilder().eq('tags', tag).ge('creationTimestamp', '2020-01-01T00:00:00+02:00').build();
    assert.deepEqual((await exh.tasks.find({ rql })).data.map(row => row.id), [created.id]);
  }
});

test('OAuth 1: what is wrong is told', async () => {
  const login = { email, password };
  const stranger = { consumerKey: 'stranger', consumerSecret: 'x' };
  await assert.rejects(oauth1(stranger).auth.authenticate(login), sdk.OauthKeyError);
  const forger = { consumerKey: consumer.consumerKey, consumerSecret: 'x' };
  await assert.rejects(oauth1(forger).auth.authenticate(login), sdk.OauthSignatureError);
  await assert.rejects(oauth1().auth.authenticate({ email, password: 'wrong' }), sdk.AuthenticationError);
  await assert.rejects(oauth1({ token: 'x', tokenSecret: 'y' }).tasks.find(), sdk.OauthTokenError);
});
