// SPDX-License-Identifier: Apache-2.0
// What a person does in a browser for `cargo xtask interop identity-provider`: opens the address that a client shows, logs in, consents, and
// sees the client's last page. Usage: node browser.mjs CHROMIUM PROFILE PERSON|cancel URL. Everything has a deadline.

import puppeteer from 'puppeteer-core';

const STEP_MS = 20_000;
const WHOLE_MS = 60_000;

const [executablePath, userDataDir, person, url] = process.argv.slice(2);

const browser = await puppeteer.launch({
  executablePath,
  userDataDir,
  timeout: STEP_MS,
  args: [
    '--no-sandbox', // Test machines run as root, where Chromium's sandbox does not start.
    '--disable-dev-shm-usage',
    '--disable-gpu',
    // Nothing outside this machine is asked: neither the fonts of the login page nor anything of the browser's own.
    '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost , EXCLUDE 127.0.0.1',
  ],
});
const deadline = setTimeout(() => {
  console.error('the browser took too long');
  browser.process().kill('SIGKILL');
  process.exit(1);
}, WHOLE_MS);

try {
  const page = await browser.newPage();
  page.setDefaultTimeout(STEP_MS);
  await page.goto(url, { waitUntil: 'domcontentloaded' });
  const click = (selector) =>
    Promise.all([page.waitForNavigation({ waitUntil: 'domcontentloaded' }), page.click(selector)]);

  await page.waitForSelector('input[name=login], #kc-form-login');
  if (await page.$('#kc-form-login')) {
    await atKeycloak();
  } else {
    await atOidcProvider();
  }

  async function atOidcProvider() {
    if (person === 'cancel') {
      await click('.login-help a');
      return;
    }
    await page.type('input[name=login]', person);
    await page.type('input[name=password]', 'any password');
    await click('button[type=submit]');
    await page.waitForSelector('input[name=prompt][value=consent]');
    await click('button[type=submit]');
  }

  // Keycloak has no way back at the login itself: somebody who was never asked before says no when asked for consent. It asks once.
  async function atKeycloak() {
    await page.type('#username', person === 'cancel' ? 'carol' : person);
    await page.type('#password', 'any password');
    await click('#kc-login');
    if (await page.$('#kc-oauth')) {
      await click(person === 'cancel' ? '[name=cancel]' : '[name=accept]');
    }
  }

  const end = new URL(page.url());
  const text = (await page.evaluate('document.body.innerText')).trim();
  if (end.pathname !== '/auth/callback') {
    throw new Error(`the browser ended at ${end.origin}${end.pathname}: ${text}`);
  }
  console.log(`the client's page says: ${text}`);
} finally {
  await browser.close();
  clearTimeout(deadline);
}
