/** The page at / in a real browser, over a real broker. */
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Broker, startBroker } from '../../src/broker.ts'
import { Producer } from '../../src/client/producer.ts'
import { connect, createTopic, sharedBroker, testBroker } from '../broker/fixture.ts'
import { closeBrowser, openPage } from './browser.ts'

closeBrowser()
const shared = sharedBroker({ http: true })

/** Sends now and then until the test ends: somebody who looks at rates sees some. */
async function traffic(broker: Broker, topic: string, values: readonly string[]): Promise<void> {
  const producer = new Producer({ bootstrap: broker.bootstrap })
  let isOver = false
  const sending = (async () => {
    while (!isOver) {
      await producer.send(
        topic,
        values.map(value => ({ key: 'key', value })),
      )
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  })()
  onTestFinished(async () => {
    isOver = true
    await sending
    await producer.close()
  })
}

async function newTopic(partitions = 1): Promise<string> {
  return await createTopic(await connect(shared()), { partitions })
}

const urlOf = (broker: Broker): string => broker.httpUrl ?? ''

describe('the page', () => {
  test('shows topics, rates, and which worker holds which partition', async context => {
    const name = await newTopic(5)
    const { page } = await openPage(context, urlOf(shared()))
    await traffic(shared(), name, ['one', 'two', 'three'])
    await expect.poll(() => page.locator('#state').textContent()).toBe('ready')
    expect(await page.title()).toBe(`odradek ${shared().bootstrap}`)
    const row = page.locator('#topics tbody tr', { hasText: name })
    await expect.poll(() => row.locator('td').nth(0).textContent()).toBe('5')
    await expect.poll(() => row.locator('td').nth(3).textContent()).toMatch(/^[\d.]+K?\/s$/)
    await expect.poll(() => row.locator('td').nth(4).textContent()).toMatch(/ (B|KiB)\/s$/)
    const workers = page.locator('#workers tbody tr')
    expect(await workers.locator('th').allTextContents()).toEqual([
      'owner-0',
      'owner-1',
      'dispatcher',
    ])
    const cells = page.locator(`#workers [data-topic="${name}"]`)
    expect(await cells.count()).toBe(5)
    await expect.poll(() => page.locator('#workers .heat-5').count()).toBeGreaterThan(0)
    await expect.poll(() => page.locator('#tiles dd').first().textContent()).toMatch(/\/s$/)
    await expect
      .poll(() => page.locator('#tiles polyline').first().getAttribute('points'))
      .toMatch(/,/)
  })

  test('a chosen topic: its partitions, and what comes in, as text', async context => {
    const name = await newTopic(2)
    const { page } = await openPage(context, urlOf(shared()))
    await page.getByRole('button', { name, exact: true }).click()
    await expect.poll(() => new URL(page.url()).hash).toBe(`#topic=${name}`)
    await expect.poll(() => page.locator('#topic-title').textContent()).toBe(name)
    expect(await page.locator('#partitions tbody th').allTextContents()).toEqual(['0', '1'])
    await expect.poll(() => page.locator('#tail-state').textContent()).toBe('waiting for messages')
    const evil = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    await traffic(shared(), name, [evil])
    const first = page.locator('#tail tbody tr').first()
    await expect.poll(() => first.locator('td').nth(4).textContent()).toBe(evil)
    expect(await first.locator('td').nth(3).textContent()).toBe('key')
    expect(await page.locator('#tail tbody img, #tail tbody script').count()).toBe(0)
    await page.getByRole('button', { name: 'Close' }).click()
    await expect.poll(() => page.locator('#topic').isVisible()).toBe(false)
    await page.goBack()
    await expect.poll(() => page.locator('#topic').isVisible()).toBe(true)
    expect(await page.title()).toBe(`odradek ${shared().bootstrap}`)
  })

  test('the tail pauses, and shows what came meanwhile', async context => {
    const name = await newTopic()
    const { page } = await openPage(context, `${urlOf(shared())}/#topic=${name}`)
    await expect.poll(() => page.locator('#tail-state').textContent()).toBe('waiting for messages')
    const pause = page.locator('#tail-pause')
    await pause.click()
    expect(await pause.getAttribute('aria-pressed')).toBe('true')
    await traffic(shared(), name, ['x'])
    await expect
      .poll(() => page.locator('#partitions tbody td').nth(3).textContent())
      .not.toMatch(/^[012]?$/)
    expect(await page.locator('#tail tbody tr').count()).toBe(0)
    await pause.click()
    await expect.poll(() => page.locator('#tail tbody tr').count()).toBeGreaterThan(2)
  })

  test('topics are found by name, and sorted by keyboard', async context => {
    const names = [await newTopic(), await newTopic(3), await newTopic(2)]
    const { page } = await openPage(context, urlOf(shared()))
    const shown = page.locator('#topics tbody th')
    await page.getByLabel('Find').fill(names[1])
    await expect.poll(() => shown.allTextContents()).toEqual([names[1]])
    await page.getByLabel('Find').fill('no such')
    await expect.poll(() => page.locator('#topics tbody').textContent()).toMatch(/No topic/)
    await page.getByLabel('Find').fill('topic-')
    await page.getByRole('button', { name: 'Partitions' }).focus()
    await page.keyboard.press('Enter')
    const heading = page.locator('#topics [aria-sort]')
    await expect.poll(() => heading.getAttribute('aria-sort')).toBe('descending')
    const counts = async () =>
      (await page.locator('#topics tbody tr td:nth-child(2)').allTextContents()).map(Number)
    expect(await counts()).toEqual((await counts()).toSorted((a, b) => b - a))
    await page.keyboard.press('Enter')
    await expect.poll(() => heading.getAttribute('aria-sort')).toBe('ascending')
    expect(await counts()).toEqual((await counts()).toSorted((a, b) => a - b))
  })

  test('is light or dark as the system is, and fits a telephone', async context => {
    const name = await newTopic(40)
    const colours: string[] = []
    for (const colorScheme of ['light', 'dark'] as const) {
      const viewport = { width: 360, height: 700 }
      const url = `${urlOf(shared())}/#topic=${name}`
      const { page } = await openPage(context, url, { colorScheme, viewport })
      await expect.poll(() => page.locator('#partitions tbody tr').count()).toBe(40)
      colours.push(await page.evaluate('getComputedStyle(document.body).backgroundColor'))
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360)
    }
    const [light, dark] = colours.map(colour => Number(/\d+/.exec(colour)?.[0]))
    expect(light).toBeGreaterThan(200)
    expect(dark).toBeLessThan(50)
  })

  test('headings, tables and controls have names', async context => {
    await newTopic()
    const { page } = await openPage(context, urlOf(shared()))
    await expect.poll(() => page.locator('#topics tbody button').count()).toBeGreaterThan(0)
    const nameless = await page.evaluate(`[...document.querySelectorAll('button, input, a, meter')]
      .filter(one => one.checkVisibility())
      .filter(one => !(one.textContent || one.ariaLabel || one.labels?.[0]?.textContent))
      .map(one => one.outerHTML)`)
    expect(nameless).toEqual([])
    const headings = await page.getByRole('heading').allTextContents()
    expect(headings).toEqual([
      'odradek',
      'Now',
      'Partitions × workers',
      'Topics',
      'Consumer groups',
    ])
    await page.keyboard.press('Tab')
    await expect.poll(() => page.getByText('Skip to the topics').isVisible()).toBe(true)
  })

  test('a partition that takes no records is marked, with the reason', async context => {
    const broker = await testBroker({ http: true })
    const name = await createTopic(await connect(broker), { partitions: 2 })
    const { page } = await openPage(context, `${urlOf(broker)}/#topic=${name}`)
    await expect.poll(() => page.locator('#state').textContent()).toBe('ready')
    const [, second] = broker.parts.services.topics.get(name)!.partitions
    await broker.parts.host.owners[second.ownerIndex].call(control =>
      control.takeOffline('the disk is made of paper'),
    )
    await expect.poll(() => page.locator('#state').textContent()).toBe('not ready')
    await expect.poll(() => page.getByRole('alert').textContent()).toMatch(/-1: .*made of paper/)
    const cell = page.locator(`#workers [data-topic="${name}"].is-offline`)
    await expect.poll(() => cell.getAttribute('title')).toMatch(/-1: .*made of paper/)
    const row = page.locator('#partitions tbody tr').nth(1)
    await expect.poll(() => row.textContent()).toMatch(/offline: .*made of paper/)
  })

  test('says that the broker is silent, and goes on when it is back', async context => {
    const first = await testBroker({ http: true })
    const url = urlOf(first)
    const { page, complaints } = await openPage(context, url)
    await expect.poll(() => page.locator('#state').textContent()).toBe('ready')
    await first.close()
    await expect.poll(() => page.locator('#state').textContent()).toBe('no answer')
    expect(await page.getByRole('alert').textContent()).toMatch(/does not answer/)
    const second = await startBroker({ http: new URL(url).host, logLevel: 'silent' })
    onTestFinished(() => second.close())
    await expect.poll(() => page.locator('#state').textContent()).toBe('ready')
    expect(await page.locator('#problems').isVisible()).toBe(false)
    const refused = complaints.splice(0)
    expect(refused.filter(text => !/ERR_CONNECTION_(REFUSED|RESET)|ERR_EMPTY/.test(text))).toEqual(
      [],
    )
  })
})
