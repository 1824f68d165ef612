import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.Header;
import io.debezium.engine.format.CloudEvents;
import io.debezium.engine.format.Json;
import io.debezium.engine.format.KeyValueHeaderChangeEventFormat;
import java.io.FileReader;
import java.io.PrintWriter;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/** Writes what the engine emits, one line of JSON a record: {"topic":…,"key":…,"value":…,"headers":{…}}. */
public class Record {
    /** Arguments: for each scene its properties and its output; it ends with the second record of a topic ".finish". */
    public static void main(String[] arguments) throws Exception {
        boolean good = true;
        for (int i = 0; i + 1 < arguments.length; i += 2) {
            good &= scene(arguments[i], arguments[i + 1]);
        }
        System.exit(good ? 0 : 1);
    }

    private static boolean scene(String settings, String target) throws Exception {
        Properties properties = new Properties();
        try (FileReader reader = new FileReader(settings)) {
            properties.load(reader);
        }
        boolean cloud = "true".equals(properties.remove("scene.cloudevents"));
        String last = ".finish";
        CountDownLatch done = new CountDownLatch(1);
        int[] seen = {0};
        boolean[] good = {true};
        try (PrintWriter out = new PrintWriter(target, "UTF-8")) {
            var builder = cloud
                ? DebeziumEngine.create(KeyValueHeaderChangeEventFormat.of(Json.class, CloudEvents.class, Json.class))
                : DebeziumEngine.create(KeyValueHeaderChangeEventFormat.of(Json.class, Json.class, Json.class));
            var engine = builder.using(properties).using((success, message, error) -> {
                if (!success && done.getCount() > 0) {
                    System.err.println(settings + ": " + message);
                    if (error != null) {
                        error.printStackTrace();
                    }
                    good[0] = false;
                }
                done.countDown();
            }).notifying((ChangeEvent<String, String> event) -> {
                synchronized (out) {
                    write(out, event);
                    if (event.destination().endsWith(last) && ++seen[0] >= 2) {
                        done.countDown();
                    }
                }
            }).build();
            var executor = Executors.newSingleThreadExecutor();
            executor.execute(engine);
            good[0] &= done.await(90, TimeUnit.SECONDS);
            engine.close();
            executor.shutdown();
            executor.awaitTermination(30, TimeUnit.SECONDS);
        }
        return good[0];
    }

    private static void write(PrintWriter out, ChangeEvent<?, ?> event) {
        StringBuilder line = new StringBuilder("{\"topic\":\"" + event.destination() + "\"");
        line.append(",\"key\":").append(json(event.key()));
        line.append(",\"value\":").append(json(event.value()));
        line.append(",\"headers\":{");
        String separator = "";
        for (Header<?> header : event.headers()) {
            line.append(separator).append('"').append(header.getKey()).append("\":").append(json(header.getValue()));
            separator = ",";
        }
        out.println(line.append("}}"));
    }

    private static String json(Object value) {
        return value == null ? "null" : value.toString();
    }
}
