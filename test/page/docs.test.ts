/** The page at /docs in a real browser: it shows the API, and is content with what its policy leaves it. */
import { expect, test } from 'vitest'
import { sharedBroker } from '../broker/fixture.ts'
import { closeBrowser, openPage } from './browser.ts'

closeBrowser()
const broker = sharedBroker({ http: true })

test('shows every route of the document', async context => {
  const { page } = await openPage(context, `${broker().httpUrl}/docs`)
  await expect.poll(() => page.locator('.opblock').count()).toBeGreaterThan(20)
  const document = (await (await fetch(`${broker().httpUrl}/openapi.json`)).json()) as {
    readonly paths: Record<string, Record<string, unknown>>
  }
  const methods = Object.values(document.paths).flatMap(path => Object.keys(path))
  expect(await page.locator('.opblock').count()).toBe(methods.length)
  const paths = await page.locator('.opblock-summary-path').allTextContents()
  // Line breaks are allowed at slashes, by a character of no width.
  const shown = new Set(paths.map(path => path.replaceAll(/[\u200b\s]/g, '')))
  expect(shown).toEqual(new Set(Object.keys(document.paths)))
})

test('a request can be tried from there', async context => {
  const { page } = await openPage(context, `${broker().httpUrl}/docs`)
  const route = page.locator('.opblock-get', { hasText: '/v1/status' })
  await route.locator('.opblock-summary-control').click()
  await route.getByRole('button', { name: 'Try it out' }).click()
  await route.getByRole('button', { name: 'Execute' }).click()
  await expect
    .poll(() => route.locator('.live-responses-table .response-col_status').last().textContent())
    .toMatch(/200/)
})
