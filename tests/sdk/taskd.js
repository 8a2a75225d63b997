// What every test file shares: a client of the daemon under test, and the functions' code.
const { readFileSync } = require('node:fs');
const { setTimeout: delay } = require('node:timers/promises');
const { createOAuth2Client, rqlBuilder } = require('@extrahorizon/javascript-sdk');

const environment = JSON.parse(readFileSync(process.env.TASKD_TEST_ENVIRONMENT, 'utf8'));
const FINAL = ['complete', 'failed', 'retried', 'canceled'];
const FAR_FUTURE = new Date('2199-01-01T00:00:00.000Z');

// Takes a host for what it is only when it is called localhost.
const { host, token } = environment;
// An API token is none that can be refreshed, but the SDK takes no access token without one for that.
const shown = token ? { accessToken: token, refreshToken: 'none' } : {};
const exh = createOAuth2Client({ host, clientId: 'taskd-tests', ...shown });

function definition(source, fields = {}) {
  const code = environment.zips[source];
  return { name: source, code, entryPoint: 'index.handler', runtime: environment.runtime, ...fields };
}

async function waiting(fields = {}) {
  return await exh.tasks.create({ functionName: 'nobody', startTimestamp: FAR_FUTURE, ...fields });
}

async function finished(task) {
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    const now = await exh.tasks.findById(task.id);
    if (FINAL.includes(now.status)) {
      return now;
    }
    await delay(10);
  }
  throw new Error(`task ${task.id} did not end within 30 seconds`);
}

async function collected(iterator) {
  const records = [];
  for await (const page of iterator) {
    records.push(...page.data);
  }
  return records;
}

module.exports = { exh, rqlBuilder, definition, waiting, finished, collected, delay, FAR_FUTURE };
