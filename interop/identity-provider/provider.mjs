// SPDX-License-Identifier: Apache-2.0
// An OpenID Connect provider for `cargo xtask interop identity-provider`: the npm package oidc-provider on loopback, with a public client
// as sigstore clients are and three people. Usage: node provider.mjs PORT. Runs until its standard input ends.

import { generateKeyPairSync, randomBytes } from 'node:crypto';

import Provider from 'oidc-provider';

const port = Number(process.argv[2]);

// Whoever logs in with one of these names is that person; the provider's own login page asks for no real password.
const PEOPLE = {
  alice: { email: 'alice@example.com', email_verified: true },
  // Has typed in an address that nobody has checked.
  mallory: { email: 'alice@example.com', email_verified: false },
  // Has given no address.
  nobody: {},
};

const signingKey = (kid) => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' };
};

const provider = new Provider(`http://localhost:${port}`, {
  clients: [{
    client_id: 'sigstore',
    client_name: 'sigstore',
    application_type: 'native', // So the port of the redirect may be any (RFC 8252, section 7.3).
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code'],
    response_types: ['code'],
    redirect_uris: ['http://localhost/auth/callback'],
  }],
  jwks: { keys: [signingKey('one')] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  pkce: { required: () => true },
  claims: { openid: ['sub'], email: ['email', 'email_verified'] },
  // Sigstore reads the address from the ID token, not from the userinfo endpoint.
  conformIdTokenClaims: false,
  ttl: { Session: 300, Interaction: 300, Grant: 300, AccessToken: 300, IdToken: 300, AuthorizationCode: 60 },
  findAccount: (_, id) => {
    const person = Object.hasOwn(PEOPLE, id) ? PEOPLE[id] : undefined;
    return person && { accountId: id, claims: () => ({ sub: id, ...person }) };
  },
});
provider.on('server_error', (_, error) => console.error(error));

provider.listen(port, '127.0.0.1', () => console.log(`listening on ${port}`));
// Whoever started it holds the other end: it cannot outlive them.
process.stdin.resume().on('end', () => process.exit(0));
