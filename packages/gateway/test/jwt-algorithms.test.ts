import { jwtAuthenticator } from '@turnpike/gateway/jwt'
import { SignJWT } from 'jose'
import { expect, test } from 'vitest'

/** Long enough for every algorithm: nothing but the list of them tells the tokens apart. */
const secret = new TextEncoder().encode('one secret for all algorithms: '.repeat(3))

function sign(alg: string): Promise<string> {
  return new SignJWT({ sub: 'ada' }).setProtectedHeader({ alg }).setExpirationTime('1m').sign(secret)
}

test.each(['HS384', 'HS512'])(
  'a token signed with %s and the right secret is good only where that is listed',
  async (alg) => {
    const token = await sign(alg)
    expect(await jwtAuthenticator({ secret })(token)).toBeNull()
    expect(await jwtAuthenticator({ secret, algorithms: ['HS256', alg] })(token)).toMatchObject({ id: 'ada' })
  },
)

test('what is listed replaces the default', async () => {
  expect(await jwtAuthenticator({ secret, algorithms: ['HS512'] })(await sign('HS256'))).toBeNull()
})
