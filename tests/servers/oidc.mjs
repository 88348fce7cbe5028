// A provider of identities for tests: `node oidc.mjs settings.json` with issuer, port, jwks, redirect_uri, token_s, library.
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const given = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { Provider } = await import(pathToFileURL(given.library).href);
const people = { anna: ['dispatch-d1'], carl: ['unheard-of'] };
const provider = new Provider(given.issuer, {
  jwks: given.jwks,
  cookies: { keys: ['only-for-tests'] },
  clients: [
    { client_id: 'machine', client_secret: 'machine-secret', grant_types: ['client_credentials'], redirect_uris: [], response_types: [] },
    { client_id: 'city', client_secret: 'city-secret', redirect_uris: [given.redirect_uri], grant_types: ['authorization_code'], response_types: ['code'] },
  ],
  claims: { openid: ['sub', 'roles', 'name'] },
  conformIdTokenClaims: false,
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: id.toUpperCase(), roles: people[id] ?? [] }) }),
  extraTokenClaims: () => ({ roles: ['operate', 'dispatch-d1'] }),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, audience) => ({ scope: 'read', audience, accessTokenTTL: given.token_s, accessTokenFormat: 'jwt', jwt: { sign: { alg: given.alg } } }),
    },
  },
});
provider.listen(given.port, '127.0.0.1');
