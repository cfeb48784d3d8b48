/** What tails take and answer with, for validation and for the OpenAPI document. No state. */
import { z } from 'zod'
import { problems, topicPath } from '../raw/schemas.ts'
import { encodings } from './record-json.ts'

export const tailQuery = z
  .strictObject({
    partition: z
      .string()
      .regex(/^\d{1,6}(,\d{1,6})*$/, 'must be partitions, as 0 or 0,2')
      .optional()
      .meta({ description: 'Only these, as 0 or 0,2. Else all, and those that are added later.' }),
    from: z
      .string()
      .regex(
        /^(?:latest|earliest|\d[\d:,]*)$/,
        'must be latest, earliest, or a position as 0:17,1:4',
      )
      .optional()
      .meta({
        description:
          'Where to begin: latest (default), earliest, or a position as 0:17,1:4 (of one partition ' +
          'also 17). Last-Event-ID wins over it.',
      }),
    timestamp: z
      .union([z.string().regex(/^\d{1,15}$/), z.iso.datetime({ offset: true })], {
        error: 'must be a time in milliseconds since 1970, or as 2026-01-31T12:00:00Z',
      })
      .optional()
      .meta({ description: 'Instead of from: records from this time on, in ms or ISO 8601.' }),
    encoding: z.enum(encodings).default('utf8').meta({
      description: 'How values are shown: as text, as the JSON they hold, in base64.',
    }),
  })
  .refine(({ from, timestamp }) => from === undefined || timestamp === undefined, {
    message: 'from and timestamp exclude each other',
  })
export type TailQuery = z.output<typeof tailQuery>

const position = 'Every event carries the next offset of all its partitions'

export const eventsSchema = {
  summary: 'Follow a topic as Server-Sent Events',
  description:
    `${position} as its id: a client that sends the last one back (Last-Event-ID) goes on exactly ` +
    'behind it. Beside records there are the events position, lost, reset, unavailable and error.',
  tags: ['Tail'],
  params: topicPath,
  querystring: tailQuery,
  response: {
    200: {
      description: 'A stream that does not end by itself.',
      content: { 'text/event-stream': { schema: z.string() } },
    },
    ...problems(400, 404, 503),
  },
}

export const eventsHeaders = z.object({
  'last-event-id': z.string().optional().meta({ description: 'The id of the last event seen.' }),
})

export const socketSchema = {
  summary: 'Follow a topic over a WebSocket',
  description:
    `${position} as position; give it back as from= to go on behind it. The client grants credit, ` +
    '{"credit": 100}, and is sent at most so many records, a text message each.',
  tags: ['Tail'],
  params: topicPath,
  querystring: tailQuery,
  response: {
    101: { type: 'null', description: 'A WebSocket from here on.' },
    ...problems(400, 404, 426, 503),
  },
}
