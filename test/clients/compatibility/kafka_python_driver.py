"""The driver of kafka-python, for 2.0.2 (Debian's) as for 3.x: PYTHONPATH chooses which one it finds. See driver.ts."""

import time

import kafka
from json_lines import CallFailed, decode, encode, serve
from kafka import KafkaConsumer, KafkaProducer, TopicPartition, errors
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.consumer.subscription_state import ConsumerRebalanceListener

IS_2_0 = kafka.__version__.startswith("2.0.")
SEND_TIMEOUT_S = 60
# 3.0 forgets a SyncGroup that is answered between two polls: the member then has nothing and sends no heartbeat. Short
# polls make that likely. Records end a poll early.
POLL_MS_MIN = 0 if IS_2_0 else 3000
CODECS = {None: None, "none": None, "gzip": "gzip", "snappy": "snappy", "lz4": "lz4", "zstd": "zstd"}


def code_of(error):
    code = getattr(error, "errno", None)
    return code if isinstance(code, int) and code >= 0 else None


def raise_code(code, where):
    """2.0 answers most administrative calls with the broker's codes and leaves them to the caller."""
    if code != 0:
        error = errors.for_code(code)
        raise CallFailed(error.__name__, where, code)


def given(**settings):
    """Settings that a scenario gives; the others keep the client's defaults."""
    return {name: value for name, value in settings.items() if value is not None}


def record_of(message):
    return {
        "partition": message.partition,
        "offset": message.offset,
        "timestampMs": message.timestamp,
        "key": encode(message.key),
        "value": encode(message.value),
        "headers": [[name, encode(value)] for name, value in message.headers or []],
    }


class Assignments(ConsumerRebalanceListener):
    """Counts them."""

    def __init__(self):
        self.count = 0

    def on_partitions_revoked(self, revoked):
        pass

    def on_partitions_assigned(self, assigned):
        self.count += 1


class Driver:
    def __init__(self):
        self._bootstrap = None
        self._admin_client = None
        self._producers = {}
        self._last = None
        self._member = None
        self._member_topic = None
        self._outlives_broker = False
        self._assignments = Assignments()

    @property
    def _admin(self):
        # An open one does not survive a restart of the broker (2.0 never, 3.0 not always): each call has a new one.
        if self._admin_client is not None:
            self._admin_client.close()
        self._admin_client = KafkaAdminClient(bootstrap_servers=self._bootstrap)
        return self._admin_client

    def hello(self, bootstrap):
        self._bootstrap = bootstrap
        cannot = {}
        if IS_2_0:
            cannot = {
                "idempotent": "kafka-python 2.0 has no idempotent producer",
                "staticMember": "kafka-python 2.0 has no group.instance.id",
                "deleteRecords": "kafka-python 2.0 cannot delete records",
            }
        return {"name": "kafka-python", "version": kafka.__version__, "cannot": cannot}

    def create_topic(self, topic, partitions):
        reply = self._admin.create_topics([NewTopic(topic, partitions, 1)])
        if IS_2_0:
            for row in reply.topic_errors:
                raise_code(row[1], topic)

    def delete_topic(self, topic):
        self._admin.delete_topics([topic])

    def list_topics(self):
        return self._admin.list_topics()

    def describe_topic(self, topic):
        [row] = self._admin.describe_topics([topic])
        raise_code(row["error_code"], topic)
        return {"partitions": len(row["partitions"])}

    def _producer(self, codec, acks, idempotent, maxRecordBytes, autoCreate, timeoutMs):
        options = (codec, acks, idempotent, maxRecordBytes, autoCreate, timeoutMs)
        self._last = options
        if options not in self._producers:
            settings = given(
                compression_type=CODECS[codec],
                acks="all" if acks == -1 else acks,
                max_request_size=maxRecordBytes,
                max_block_ms=timeoutMs,
            )
            if not IS_2_0:
                more = given(enable_idempotence=idempotent, allow_auto_create_topics=autoCreate)
                settings.update(more)
                if acks in (0, 1) and idempotent is None:
                    settings["enable_idempotence"] = False
                if timeoutMs is not None:
                    settings.update(delivery_timeout_ms=timeoutMs, request_timeout_ms=timeoutMs // 2)
            producer = KafkaProducer(bootstrap_servers=self._bootstrap, **settings)
            self._producers[options] = producer
        return self._producers[options]

    def produce(self, topic, records, acks=None, **others):
        names = ("codec", "idempotent", "maxRecordBytes", "autoCreate", "timeoutMs")
        settings = {name: others.get(name) for name in names}
        producer = self._producer(acks=acks, **settings)
        try:
            rows = self._send(producer, topic, records)
        except Exception:
            # The idempotent producer of 3.0 (its default) ends with its first refusal.
            if not IS_2_0:
                self._producers.pop(self._last).close(timeout=0)
            raise
        if acks == 0:
            return {"offsets": None}
        return {"offsets": [{"partition": row.partition, "offset": row.offset} for row in rows]}

    @staticmethod
    def _send(producer, topic, records):
        sent = []
        for record in records:
            headers = [(name, decode(value)) for name, value in record.get("headers", [])]
            future = producer.send(
                topic,
                key=decode(record["key"]),
                value=decode(record["value"]),
                partition=record.get("partition"),
                **({"headers": headers} if headers else {}),
            )
            sent.append(future)
        producer.flush()
        return [future.get(timeout=SEND_TIMEOUT_S) for future in sent]

    @staticmethod
    def _seek(consumer, partitions, start):
        if start == "earliest":
            consumer.seek_to_beginning(*partitions)
        elif "offset" in start:
            for partition in partitions:
                consumer.seek(partition, start["offset"])
        else:
            found = consumer.offsets_for_times({p: start["timeMs"] for p in partitions})
            for partition in partitions:
                if found.get(partition) is None:
                    consumer.seek_to_end(partition)
                else:
                    consumer.seek(partition, found[partition].offset)

    # `from` is a word of the language.
    def consume(self, topic, partitions, count, timeoutMs, **others):
        consumer = KafkaConsumer(bootstrap_servers=self._bootstrap)
        try:
            assigned = [TopicPartition(topic, partition) for partition in partitions]
            consumer.assign(assigned)
            self._seek(consumer, assigned, others["from"])
            until = time.monotonic() + timeoutMs / 1000
            records = []
            while len(records) < count:
                left_ms = int((until - time.monotonic()) * 1000)
                if left_ms <= 0:
                    text = "%d of %d records came in time" % (len(records), count)
                    raise CallFailed("Timeout", text)
                for messages in consumer.poll(timeout_ms=min(left_ms, 1000)).values():
                    records.extend(record_of(message) for message in messages)
            return records
        finally:
            consumer.close()

    def delete_records(self, topic, partition, before):
        self._admin.delete_records({TopicPartition(topic, partition): before})

    def list_groups(self):
        if IS_2_0:
            return [name for name, _ in self._admin.list_consumer_groups()]
        return [row["group_id"] for row in self._admin.list_groups()]

    def describe_group(self, groupId):
        if IS_2_0:
            [row] = self._admin.describe_consumer_groups([groupId])
            return {"state": row.state, "members": len(row.members)}
        row = self._admin.describe_groups([groupId])[groupId]
        return {"state": row["group_state"], "members": len(row["members"])}

    def delete_group(self, groupId):
        if IS_2_0:
            [(_, error)] = self._admin.delete_consumer_groups([groupId])
            raise_code(error.errno, groupId)
            return
        said = self._admin.delete_groups([groupId])[groupId]
        if said != "OK":
            raise CallFailed(said, groupId, code_of(getattr(errors, said)))

    def member_start(
        self, groupId, topic, instanceId=None, sessionTimeoutMs=None, autoCommit=None, **others
    ):
        self._outlives_broker = others.get("outlivesBroker", False)
        settings = given(
            group_instance_id=instanceId,
            session_timeout_ms=sessionTimeoutMs,
            enable_auto_commit=autoCommit,
        )
        if sessionTimeoutMs is not None:
            settings["heartbeat_interval_ms"] = sessionTimeoutMs // 5
        member = KafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=groupId,
            auto_offset_reset="earliest",
            **settings,
        )
        member.subscribe([topic], listener=self._assignments)
        self._member, self._member_topic = member, topic

    def member_poll(self, maxWaitMs):
        try:
            polled = self._member.poll(timeout_ms=max(maxWaitMs, POLL_MS_MIN))
        except errors.KafkaConnectionError:
            # 3.0 may raise it out of a poll while the broker is away; it says of itself that it is retriable.
            if not self._outlives_broker:
                raise
            time.sleep(0.2)
            polled = {}
        mine = [p.partition for p in self._member.assignment() if p.topic == self._member_topic]
        return {
            "records": [record_of(message) for part in polled.values() for message in part],
            "assignment": sorted(mine),
            "rebalances": self._assignments.count,
        }

    def member_commit(self):
        self._member.commit()

    def member_stop(self):
        self._member.close()
        self._member = None

    def bye(self):
        if self._member is not None:
            self._member.close()
        for producer in self._producers.values():
            producer.close(timeout=1)
        if self._admin_client is not None:
            self._admin_client.close()


serve(Driver(), code_of)
