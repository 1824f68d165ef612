import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.Json;
import java.io.FileReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Executors;

/**
 * Takes changes from the Debezium engine as JSON, counts them, throws them away and ends at once when
 * it has as many as it was told. Arguments: properties, topic, count, a file to make at the first one.
 */
final class Drain implements DebeziumEngine.ChangeConsumer<ChangeEvent<String, String>> {
    private static final long STALL_MILLIS_MAX = 120_000;

    private final String topic;
    private final long expected;
    private final Path begun;
    private volatile long count;
    private long characters;

    private Drain(String topic, long expected, Path begun) {
        this.topic = topic;
        this.expected = expected;
        this.begun = begun;
    }

    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        try (FileReader reader = new FileReader(arguments[0])) {
            properties.load(reader);
        }
        Drain drain = new Drain(arguments[1], Long.parseLong(arguments[2]), Path.of(arguments[3]));
        DebeziumEngine<ChangeEvent<String, String>> engine = DebeziumEngine.create(Json.class)
                .using(properties)
                .using((success, message, error) -> fail("the engine ended: " + message + ": " + error))
                .notifying(drain)
                .build();
        Executors.newSingleThreadExecutor().execute(engine);
        drain.watch();
    }

    @Override
    public void handleBatch(
            List<ChangeEvent<String, String>> batch,
            DebeziumEngine.RecordCommitter<ChangeEvent<String, String>> committer)
            throws InterruptedException {
        for (ChangeEvent<String, String> event : batch) {
            if (topic.equals(event.destination())) {
                take(event);
            }
            committer.markProcessed(event);
        }
        committer.markBatchFinished();
        if (count >= expected) {
            System.err.println(count + " events, " + characters + " characters");
            Runtime.getRuntime().halt(count == expected ? 0 : 1);
        }
    }

    private void take(ChangeEvent<String, String> event) {
        if (count == 0) {
            try {
                Files.createFile(begun);
            } catch (java.io.IOException error) {
                fail("cannot make " + begun + ": " + error);
            }
        }
        characters += event.value().length();
        count += 1;
    }

    private void watch() throws InterruptedException {
        long before = -1;
        while (count > before) {
            before = count;
            Thread.sleep(STALL_MILLIS_MAX);
        }
        fail("no change for two minutes after " + count + " of " + expected);
    }

    private static void fail(String reason) {
        System.err.println(reason);
        Runtime.getRuntime().halt(1);
    }
}
