"""The driver of confluent-kafka for Python, and so of a recent librdkafka, which its wheel brings. See driver.ts."""

import os
import time

import confluent_kafka
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic
from json_lines import CallFailed, decode, encode, serve

CALL_TIMEOUT_S = 60
POLL_RECORDS_MAX = 500

def code_of(error):
    """Negative ones are the client's own."""
    cause = error.args[0] if isinstance(error, KafkaException) and error.args else error
    code = cause.code() if isinstance(cause, KafkaError) else None
    return code if code is not None and code >= 0 else None


def given(**settings):
    """Settings that a scenario gives, by their names with dots; the others keep the client's defaults."""
    return {
        name.replace("_", "."): value for name, value in settings.items() if value is not None
    }


def record_of(message):
    if message.error() is not None:
        raise KafkaException(message.error())
    return {
        "partition": message.partition(),
        "offset": message.offset(),
        "timestampMs": message.timestamp()[1],
        "key": encode(message.key()),
        "value": encode(message.value()),
        "headers": [[name, encode(value)] for name, value in message.headers() or []],
    }


def done(futures):
    for future in futures.values():
        future.result(CALL_TIMEOUT_S)
    return None


class Driver:
    def __init__(self):
        self._bootstrap = None
        self._admin_client = None
        self._producers = {}
        self._member = None
        self._member_topic = None
        self._rebalances = 0

    def _config(self, **settings):
        return {"bootstrap.servers": self._bootstrap, **given(**settings)}

    @property
    def _admin(self):
        if self._admin_client is None:
            self._admin_client = AdminClient(self._config())
        return self._admin_client

    def hello(self, bootstrap):
        self._bootstrap = bootstrap
        version = "%s (librdkafka %s)" % (
            confluent_kafka.__version__,
            confluent_kafka.libversion()[0],
        )
        return {"name": "confluent-kafka", "version": version, "cannot": {}}

    def create_topic(self, topic, partitions):
        done(self._admin.create_topics([NewTopic(topic, partitions)]))

    def delete_topic(self, topic):
        done(self._admin.delete_topics([topic]))

    def list_topics(self):
        return list(self._admin.list_topics(timeout=CALL_TIMEOUT_S).topics)

    def describe_topic(self, topic):
        # (`list_topics` of one topic would create it.)
        [future] = self._admin.describe_topics(TopicCollection([topic])).values()
        return {"partitions": len(future.result(CALL_TIMEOUT_S).partitions)}

    def produce(
        self,
        topic,
        records,
        codec=None,
        acks=None,
        idempotent=None,
        maxRecordBytes=None,
        autoCreate=None,
        timeoutMs=None,
    ):
        config = self._config(
            compression_codec=codec,
            acks=acks,
            enable_idempotence=idempotent,
            message_max_bytes=maxRecordBytes,
            allow_auto_create_topics=autoCreate,
            # How long a topic may be unknown before its records fail.
            topic_metadata_propagation_max_ms=timeoutMs,
        )
        key = repr(config)
        if key not in self._producers:
            self._producers[key] = Producer(config)
        try:
            rows = self._send(self._producers[key], topic, records)
        except KafkaException as error:
            # It remembers for a while that a topic is unknown, also when there is one now.
            if error.args[0].code() in (KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART):
                del self._producers[key]
            raise
        if acks == 0:
            return {"offsets": None}
        return {"offsets": [{"partition": row.partition(), "offset": row.offset()} for row in rows]}

    @staticmethod
    def _send(producer, topic, records):
        rows = [None] * len(records)
        for index, record in enumerate(records):

            def delivered(error, message, index=index):
                rows[index] = (error, message)

            where = given(partition=record.get("partition"))
            headers = [(name, decode(value)) for name, value in record.get("headers", [])]
            if headers:
                where["headers"] = headers
            producer.produce(
                topic,
                key=decode(record["key"]),
                value=decode(record["value"]),
                on_delivery=delivered,
                **where,
            )
        producer.flush(CALL_TIMEOUT_S)
        for row in rows:
            if row is None:
                raise CallFailed("Timeout", "not delivered in time")
            if row[0] is not None:
                raise KafkaException(row[0])
        return [message for _, message in rows]

    # `from` is a word of the language.
    def consume(self, topic, partitions, count, timeoutMs, **others):
        start = others["from"]
        # librdkafka wants a name even where no group is formed.
        group_id = "reader-%d" % os.getpid()
        consumer = Consumer(self._config(group_id=group_id, enable_auto_commit=False))
        try:
            assigned = [TopicPartition(topic, one, OFFSET_BEGINNING) for one in partitions]
            if start != "earliest":
                for one in assigned:
                    one.offset = start["offset"] if "offset" in start else start["timeMs"]
                if "timeMs" in start:
                    assigned = consumer.offsets_for_times(assigned, timeout=CALL_TIMEOUT_S)
            consumer.assign(assigned)
            until = time.monotonic() + timeoutMs / 1000
            records = []
            while len(records) < count:
                left_s = until - time.monotonic()
                if left_s <= 0:
                    text = "%d of %d records came in time" % (len(records), count)
                    raise CallFailed("Timeout", text)
                wanted = min(count - len(records), POLL_RECORDS_MAX)
                messages = consumer.consume(wanted, timeout=min(left_s, 1))
                records.extend(record_of(message) for message in messages)
            return records
        finally:
            consumer.close()

    def delete_records(self, topic, partition, before):
        done(self._admin.delete_records([TopicPartition(topic, partition, before)]))

    def list_groups(self):
        listed = self._admin.list_consumer_groups().result(CALL_TIMEOUT_S)
        return [group.group_id for group in listed.valid]

    def describe_group(self, groupId):
        [future] = self._admin.describe_consumer_groups([groupId]).values()
        group = future.result(CALL_TIMEOUT_S)
        state = "".join(word.capitalize() for word in group.state.name.split("_"))
        return {"state": state, "members": len(group.members)}

    def delete_group(self, groupId):
        done(self._admin.delete_consumer_groups([groupId]))

    def _assigned(self, consumer, partitions):
        self._rebalances += 1

    def member_start(
        self, groupId, topic, instanceId=None, sessionTimeoutMs=None, autoCommit=None, **_others
    ):
        config = self._config(
            group_id=groupId,
            auto_offset_reset="earliest",
            group_instance_id=instanceId,
            session_timeout_ms=sessionTimeoutMs,
            enable_auto_commit=autoCommit,
        )
        if sessionTimeoutMs is not None:
            config["heartbeat.interval.ms"] = sessionTimeoutMs // 5
        self._member, self._member_topic = Consumer(config), topic
        self._member.subscribe([topic], on_assign=self._assigned)

    def member_poll(self, maxWaitMs):
        messages = self._member.consume(POLL_RECORDS_MAX, timeout=maxWaitMs / 1000)
        mine = [one.partition for one in self._member.assignment() if one.topic == self._member_topic]
        return {
            "records": [record_of(message) for message in messages],
            "assignment": sorted(mine),
            "rebalances": self._rebalances,
        }

    def member_commit(self):
        try:
            self._member.commit(asynchronous=False)
        except KafkaException as error:
            # Nothing was polled since the last commit.
            if error.args[0].code() != KafkaError._NO_OFFSET:
                raise

    def member_stop(self):
        self._member.close()
        self._member = None

    def bye(self):
        if self._member is not None:
            self._member.close()
        for producer in self._producers.values():
            producer.flush(1)


serve(Driver(), code_of)
