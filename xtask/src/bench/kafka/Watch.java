import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Watches a topic until it has so many records. Arguments: what, brokers, topic, count.
 * "count" asks for the ends of its partitions and says "first" and "done"; "arrivals" reads the records
 * and says the id in the key of each with the microsecond of its arrival. It says "ready" first.
 */
final class Watch {
    private static final Duration WAIT = Duration.ofMillis(10);

    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[1]);
        settings.put("key.deserializer", ByteArrayDeserializer.class);
        settings.put("value.deserializer", ByteArrayDeserializer.class);
        settings.put("enable.auto.commit", "false");
        settings.put("allow.auto.create.topics", "false");
        long count = Long.parseLong(arguments[3]);
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings)) {
            System.out.println("ready");
            List<TopicPartition> partitions = partitions(consumer, arguments[2]);
            if (arguments[0].equals("count")) {
                count(consumer, partitions, count);
            } else {
                arrivals(consumer, partitions, count);
            }
        }
    }

    private static List<TopicPartition> partitions(KafkaConsumer<?, ?> consumer, String topic) throws Exception {
        while (true) {
            List<PartitionInfo> found = consumer.listTopics().get(topic);
            if (found != null && !found.isEmpty()) {
                return found.stream().map(one -> new TopicPartition(one.topic(), one.partition())).toList();
            }
            Thread.sleep(WAIT.toMillis());
        }
    }

    private static void count(KafkaConsumer<?, ?> consumer, List<TopicPartition> partitions, long count) throws Exception {
        long before = 0;
        while (before < count) {
            long now = consumer.endOffsets(partitions).values().stream().mapToLong(Long::longValue).sum();
            if (before == 0 && now > 0) {
                System.out.println("first");
            }
            before = now;
            Thread.sleep(WAIT.toMillis());
        }
        System.out.println("done " + before);
    }

    private static void arrivals(KafkaConsumer<byte[], byte[]> consumer, List<TopicPartition> partitions, long count) {
        consumer.assign(partitions);
        consumer.seekToBeginning(partitions);
        StringBuilder lines = new StringBuilder();
        long seen = 0;
        boolean told = false;
        while (seen < count) {
            var records = consumer.poll(WAIT);
            long now = ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now());
            for (ConsumerRecord<byte[], byte[]> record : records) {
                lines.append(id(record.key())).append(' ').append(now).append('\n');
                seen++;
            }
            if (!told && seen > 0) {
                System.out.println("first");
                told = true;
            }
        }
        PrintStream out = System.out;
        out.print(lines);
        out.println("done " + seen);
    }

    /** The number in {"id":7}, or in the frame and the zigzag of Avro. */
    private static long id(byte[] key) {
        if (key[0] == 0) {
            ByteBuffer rest = ByteBuffer.wrap(key, 5, key.length - 5);
            long zigzag = 0;
            for (int shift = 0; rest.hasRemaining(); shift += 7) {
                zigzag |= (long) (rest.get() & 0x7f) << shift;
            }
            return zigzag >>> 1 ^ -(zigzag & 1);
        }
        return Long.parseLong(new String(key).replaceAll("[^0-9-]", ""));
    }
}
