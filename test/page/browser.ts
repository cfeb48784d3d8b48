/**
 * A page in Debian's Chromium, without a window. Whatever a page complains of fails its test: errors of its scripts, of
 * the content security policy, requests that fail or go to anybody but the broker.
 */

import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { afterAll, expect, onTestFinished, type TestContext } from 'vitest'
import { findCommand, requireThat } from '../support/requires.ts'

/** `BROWSER_TESTS=absent`: .ci/run has looked for a browser, found no way to get one, and has said so. */
const environment = process.env.BROWSER_TESTS === 'absent' ? {} : process.env

export interface OpenedPage {
  readonly page: Page
  /** What it complained of so far; must be empty when the test ends, unless taken. */
  readonly complaints: string[]
}

let browser: Promise<Browser> | null = null

/** Skips the test where there is no Chromium. */
export async function openPage(
  context: TestContext,
  url: string,
  options: BrowserContextOptions = {},
): Promise<OpenedPage> {
  const executablePath = findCommand('chromium')
  const isThere = executablePath !== null
  const cure = 'apt-get install chromium'
  requireThat(context, isThere, 'chromium is not installed', cure, environment)
  // As root it has no sandbox of its own; it loads nothing but our own page.
  browser ??= chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] })
  const tab = await (await browser).newContext(options)
  const page = await tab.newPage()
  const complaints: string[] = []
  page.on('pageerror', error => complaints.push(`script: ${error.message}`))
  page.on('console', message => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('request', request => {
    if (new URL(request.url()).origin !== new URL(url).origin) complaints.push(request.url())
  })
  onTestFinished(async () => {
    await tab.close()
    expect(complaints).toEqual([])
  })
  await page.goto(url)
  return { page, complaints }
}

/** Once in each file. */
export function closeBrowser(): void {
  afterAll(async () => {
    await (await browser)?.close()
    browser = null
  })
}
