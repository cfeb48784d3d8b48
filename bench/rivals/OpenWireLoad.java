import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import javax.jms.BytesMessage;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Queue;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.ActiveMQConnectionFactory;

/**
 * Loads ActiveMQ over OpenWire for activemq.ts: one connection, one producer or one consumer.
 *
 *   java -cp ... OpenWireLoad.java produce|consume URL QUEUE MESSAGES BYTES SECONDS BATCH
 *
 * Prints `at SECONDS MESSAGES` four times a second and `end SECONDS MESSAGES` when the broker has answered everything.
 * BATCH over 1 sends in transactions of so many.
 */
public final class OpenWireLoad {
  private static final long SAMPLE_NANOS = 250_000_000L;

  public static void main(String[] args) throws Exception {
    var isProducing = args[0].equals("produce");
    var messages = Long.parseLong(args[3]);
    var messageBytes = Integer.parseInt(args[4]);
    var deadlineNanos = (long) (Double.parseDouble(args[5]) * 1e9);
    var batch = Integer.parseInt(args[6]);
    Connection connection = new ActiveMQConnectionFactory(args[1]).createConnection();
    connection.start();
    var isTransacted = isProducing && batch > 1;
    Session session = connection.createSession(isTransacted, Session.AUTO_ACKNOWLEDGE);
    Queue queue = session.createQueue(args[2]);
    if (isProducing) produce(connection, session, queue, messages, messageBytes, deadlineNanos, batch);
    else consume(session, queue, messages, deadlineNanos);
    connection.close();
    System.exit(0);
  }

  private static void produce(Connection connection, Session session, Queue queue, long messages,
      int messageBytes, long deadlineNanos, int batch) throws Exception {
    MessageProducer producer = session.createProducer(queue);
    producer.setDeliveryMode(DeliveryMode.PERSISTENT);
    var payload = new byte[messageBytes];
    for (var at = 0; at < messageBytes; at++) payload[at] = (byte) ('a' + at % 26);
    var startNanos = System.nanoTime();
    var nextSample = SAMPLE_NANOS;
    long sent = 0;
    while (sent < messages) {
      BytesMessage message = session.createBytesMessage();
      message.writeBytes(payload);
      producer.send(message);
      sent++;
      if (session.getTransacted() && (sent % batch == 0 || sent == messages)) session.commit();
      // The clock is not read for every message; a slow broker is asked at every one.
      if ((sent & 15) != 0 && session.getTransacted()) continue;
      var elapsed = System.nanoTime() - startNanos;
      if (elapsed >= nextSample) {
        report("at", elapsed, sent);
        nextSample = elapsed + SAMPLE_NANOS;
      }
      if (elapsed >= deadlineNanos) break;
    }
    if (session.getTransacted()) session.commit();
    // An answered command behind all of them: the broker has read what was sent without an answer.
    ((ActiveMQConnection) connection).createSession(false, Session.AUTO_ACKNOWLEDGE)
        .createConsumer(session.createQueue("drained")).close();
    report("end", System.nanoTime() - startNanos, sent);
  }

  private static void consume(Session session, Queue queue, long messages, long deadlineNanos)
      throws Exception {
    var received = new AtomicLong();
    var all = new CountDownLatch(1);
    MessageConsumer consumer = session.createConsumer(queue);
    var startNanos = System.nanoTime();
    consumer.setMessageListener(message -> {
      if (received.incrementAndGet() == messages) all.countDown();
    });
    while (!all.await(SAMPLE_NANOS, TimeUnit.NANOSECONDS)) {
      var elapsed = System.nanoTime() - startNanos;
      report("at", elapsed, received.get());
      if (elapsed >= deadlineNanos) break;
    }
    report("end", System.nanoTime() - startNanos, Math.min(messages, received.get()));
  }

  private static void report(String word, long nanos, long messages) {
    System.out.printf("%s %.4f %d%n", word, nanos / 1e9, messages);
  }
}
