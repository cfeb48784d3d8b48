import static java.util.Map.entry;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.ConsumerGroupListing;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/** The driver of Apache Kafka's own Java client, one text for every version of it. The calls: driver.ts. */
public final class Driver {
  private static final ObjectMapper JSON = new ObjectMapper();

  /** A call; what it answers is null where driver.ts has no result. */
  private interface Call {
    JsonNode run(JsonNode args) throws Exception;
  }

  private final Map<String, Call> calls =
      Map.ofEntries(
          entry("hello", this::hello),
          entry("createTopic", this::createTopic),
          entry("deleteTopic", this::deleteTopic),
          entry("listTopics", this::listTopics),
          entry("describeTopic", this::describeTopic),
          entry("produce", this::produce),
          entry("consume", this::consume),
          entry("deleteRecords", this::deleteRecords),
          entry("listGroups", this::listGroups),
          entry("describeGroup", this::describeGroup),
          entry("deleteGroup", this::deleteGroup),
          entry("memberStart", this::memberStart),
          entry("memberPoll", this::memberPoll),
          entry("memberCommit", this::memberCommit),
          entry("memberStop", this::memberStop),
          entry("bye", this::bye));
  private final Map<String, KafkaProducer<byte[], byte[]>> producers = new HashMap<>();
  private String bootstrap;
  private Admin adminClient;
  private KafkaConsumer<byte[], byte[]> member;
  private String memberTopic;
  private int rebalances;

  public static void main(String[] unused) throws IOException {
    // Answers alone go to stdout; what a library prints there goes to stderr.
    PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    System.setOut(System.err);
    Driver driver = new Driver();
    var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      JsonNode request = JSON.readTree(line);
      answers.println(driver.answer(request));
      if (request.get("call").asText().equals("bye")) break;
    }
    System.exit(0);
  }

  private ObjectNode answer(JsonNode request) {
    ObjectNode answer = JSON.createObjectNode().set("id", request.get("id"));
    String name = request.get("call").asText();
    try {
      Call call = calls.get(name);
      if (call == null) throw new IllegalArgumentException("no such call: " + name);
      answer.set("result", call.run(request.path("args")));
    } catch (Exception error) {
      answer.set("error", said(error));
    }
    return answer;
  }

  private static ObjectNode said(Throwable thrown) {
    Throwable error = thrown;
    while (error.getCause() != null
        && (error instanceof ExecutionException || error instanceof CompletionException)) {
      error = error.getCause();
    }
    ObjectNode said = JSON.createObjectNode();
    said.put("name", error.getClass().getSimpleName());
    said.put("message", String.valueOf(error.getMessage()));
    // A wait that ended in vain is the client's own error; its cause, if any, is what the broker said.
    boolean isWait = error instanceof TimeoutException;
    Errors kind = isWait && error.getCause() == null ? Errors.NONE
        : Errors.forException(isWait ? error.getCause() : error);
    if (kind != Errors.UNKNOWN_SERVER_ERROR && kind != Errors.NONE) said.put("code", kind.code());
    return said;
  }

  private Admin admin() {
    if (adminClient == null) adminClient = Admin.create(Map.of("bootstrap.servers", bootstrap));
    return adminClient;
  }

  private JsonNode hello(JsonNode args) {
    bootstrap = args.get("bootstrap").asText();
    ObjectNode hello = JSON.createObjectNode();
    hello.put("name", "Apache Kafka Java client");
    hello.put("version", AppInfoParser.getVersion());
    hello.putObject("cannot");
    return hello;
  }

  private JsonNode createTopic(JsonNode args) throws Exception {
    var topic = new NewTopic(args.get("topic").asText(), args.get("partitions").asInt(), (short) 1);
    admin().createTopics(List.of(topic)).all().get();
    return null;
  }

  private JsonNode deleteTopic(JsonNode args) throws Exception {
    admin().deleteTopics(List.of(args.get("topic").asText())).all().get();
    return null;
  }

  private JsonNode listTopics(JsonNode args) throws Exception {
    return JSON.valueToTree(admin().listTopics().names().get());
  }

  private JsonNode describeTopic(JsonNode args) throws Exception {
    String topic = args.get("topic").asText();
    var description = admin().describeTopics(List.of(topic)).allTopicNames().get().get(topic);
    return JSON.createObjectNode().put("partitions", description.partitions().size());
  }

  private static void give(Map<String, Object> settings, String name, JsonNode args, String arg) {
    if (args.has(arg)) settings.put(name, args.get(arg).asText());
  }

  private KafkaProducer<byte[], byte[]> producer(JsonNode args) {
    Map<String, Object> settings = new HashMap<>();
    give(settings, "compression.type", args, "codec");
    give(settings, "acks", args, "acks");
    give(settings, "enable.idempotence", args, "idempotent");
    give(settings, "max.request.size", args, "maxRecordBytes");
    if (args.has("timeoutMs")) {
      int timeoutMs = args.get("timeoutMs").asInt();
      settings.put("max.block.ms", timeoutMs);
      settings.put("delivery.timeout.ms", timeoutMs);
      settings.put("request.timeout.ms", timeoutMs / 2);
    }
    String key = settings.toString();
    settings.put("bootstrap.servers", bootstrap);
    var serializer = new ByteArraySerializer();
    return producers.computeIfAbsent(
        key, unused -> new KafkaProducer<>(settings, serializer, serializer));
  }

  private static byte[] bytes(JsonNode text) throws IOException {
    return text == null || text.isNull() ? null : text.binaryValue();
  }

  private JsonNode produce(JsonNode args) throws Exception {
    var producer = producer(args);
    List<Future<RecordMetadata>> sent = new ArrayList<>();
    for (JsonNode record : args.get("records")) {
      Integer partition = record.has("partition") ? record.get("partition").asInt() : null;
      var one =
          new ProducerRecord<>(
              args.get("topic").asText(),
              partition,
              bytes(record.get("key")),
              bytes(record.get("value")));
      for (JsonNode header : record.path("headers")) {
        one.headers().add(header.get(0).asText(), bytes(header.get(1)));
      }
      sent.add(producer.send(one));
    }
    producer.flush();
    ObjectNode result = JSON.createObjectNode();
    ArrayNode offsets = JSON.createArrayNode();
    for (Future<RecordMetadata> future : sent) {
      RecordMetadata row = future.get();
      offsets.addObject().put("partition", row.partition()).put("offset", row.offset());
    }
    if (args.path("acks").asText().equals("0")) return result.putNull("offsets");
    return result.set("offsets", offsets);
  }

  private static void add(ArrayNode to, ConsumerRecords<byte[], byte[]> records) {
    for (ConsumerRecord<byte[], byte[]> record : records) {
      ObjectNode row = to.addObject();
      row.put("partition", record.partition());
      row.put("offset", record.offset());
      row.put("timestampMs", record.timestamp());
      row.put("key", record.key());
      row.put("value", record.value());
      ArrayNode headers = row.putArray("headers");
      for (Header header : record.headers()) {
        headers.addArray().add(header.key()).add(header.value());
      }
    }
  }

  private KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> settings) {
    settings.put("bootstrap.servers", bootstrap);
    var deserializer = new ByteArrayDeserializer();
    return new KafkaConsumer<>(settings, deserializer, deserializer);
  }

  private static void seek(
      KafkaConsumer<?, ?> consumer, List<TopicPartition> partitions, JsonNode from) {
    if (from.has("offset")) {
      for (TopicPartition partition : partitions) consumer.seek(partition, from.get("offset").asLong());
    } else if (from.has("timeMs")) {
      Map<TopicPartition, Long> times = new HashMap<>();
      for (TopicPartition partition : partitions) times.put(partition, from.get("timeMs").asLong());
      for (var found : consumer.offsetsForTimes(times).entrySet()) {
        OffsetAndTimestamp at = found.getValue();
        if (at == null) consumer.seekToEnd(List.of(found.getKey()));
        else consumer.seek(found.getKey(), at.offset());
      }
    } else {
      consumer.seekToBeginning(partitions);
    }
  }

  private JsonNode consume(JsonNode args) throws Exception {
    List<TopicPartition> partitions = new ArrayList<>();
    for (JsonNode partition : args.get("partitions")) {
      partitions.add(new TopicPartition(args.get("topic").asText(), partition.asInt()));
    }
    ArrayNode records = JSON.createArrayNode();
    int count = args.get("count").asInt();
    try (var consumer = consumer(new HashMap<>())) {
      consumer.assign(partitions);
      seek(consumer, partitions, args.get("from"));
      long until = System.nanoTime() + args.get("timeoutMs").asLong() * 1_000_000;
      while (records.size() < count) {
        long leftMs = (until - System.nanoTime()) / 1_000_000;
        if (leftMs <= 0) {
          String came = records.size() + " of " + count + " records came in time";
          throw new TimeoutException(came);
        }
        add(records, consumer.poll(Duration.ofMillis(Math.min(leftMs, 1000))));
      }
    }
    return records;
  }

  private JsonNode deleteRecords(JsonNode args) throws Exception {
    var partition = new TopicPartition(args.get("topic").asText(), args.get("partition").asInt());
    var before = RecordsToDelete.beforeOffset(args.get("before").asLong());
    admin().deleteRecords(Map.of(partition, before)).all().get();
    return null;
  }

  private JsonNode listGroups(JsonNode args) throws Exception {
    ArrayNode ids = JSON.createArrayNode();
    for (ConsumerGroupListing group : admin().listConsumerGroups().all().get()) {
      ids.add(group.groupId());
    }
    return ids;
  }

  private JsonNode describeGroup(JsonNode args) throws Exception {
    String id = args.get("groupId").asText();
    ConsumerGroupDescription group =
        admin().describeConsumerGroups(List.of(id)).all().get().get(id);
    ObjectNode result = JSON.createObjectNode().put("state", group.state().toString());
    return result.put("members", group.members().size());
  }

  private JsonNode deleteGroup(JsonNode args) throws Exception {
    admin().deleteConsumerGroups(List.of(args.get("groupId").asText())).all().get();
    return null;
  }

  private JsonNode memberStart(JsonNode args) {
    Map<String, Object> settings = new HashMap<>();
    settings.put("group.id", args.get("groupId").asText());
    settings.put("auto.offset.reset", "earliest");
    give(settings, "group.instance.id", args, "instanceId");
    give(settings, "enable.auto.commit", args, "autoCommit");
    if (args.has("sessionTimeoutMs")) {
      int timeoutMs = args.get("sessionTimeoutMs").asInt();
      settings.put("session.timeout.ms", timeoutMs);
      settings.put("heartbeat.interval.ms", timeoutMs / 5);
    }
    memberTopic = args.get("topic").asText();
    member = consumer(settings);
    member.subscribe(
        List.of(memberTopic),
        new ConsumerRebalanceListener() {
          @Override
          public void onPartitionsRevoked(Collection<TopicPartition> partitions) {}

          @Override
          public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            rebalances++;
          }
        });
    return null;
  }

  private JsonNode memberPoll(JsonNode args) {
    ObjectNode polled = JSON.createObjectNode();
    var records = member.poll(Duration.ofMillis(args.get("maxWaitMs").asLong()));
    add(polled.putArray("records"), records);
    ArrayNode assignment = polled.putArray("assignment");
    member.assignment().stream()
        .filter(partition -> partition.topic().equals(memberTopic))
        .mapToInt(TopicPartition::partition)
        .sorted()
        .forEach(assignment::add);
    return polled.put("rebalances", rebalances);
  }

  private JsonNode memberCommit(JsonNode args) {
    member.commitSync();
    return null;
  }

  private JsonNode memberStop(JsonNode args) {
    member.close();
    member = null;
    return null;
  }

  private JsonNode bye(JsonNode args) {
    if (member != null) member.close();
    for (var producer : producers.values()) producer.close(Duration.ofSeconds(1));
    if (adminClient != null) adminClient.close(Duration.ofSeconds(1));
    return null;
  }
}
