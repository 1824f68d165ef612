import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.confluent.connect.avro.AvroConverter;
import io.confluent.connect.protobuf.ProtobufConverter;
import io.confluent.kafka.schemaregistry.ParsedSchema;
import io.confluent.kafka.schemaregistry.avro.AvroSchemaProvider;
import io.confluent.kafka.schemaregistry.client.MockSchemaRegistryClient;
import io.confluent.kafka.schemaregistry.protobuf.ProtobufSchemaProvider;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.storage.Converter;

/**
 * Reads lines of {"name":…,"schema":…,"payload":…} and says what Confluent's converters make of each:
 * the text of the schema and the bytes of the record.
 */
public class Convert {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final JsonConverter PLAIN = new JsonConverter();

    public static void main(String[] args) throws Exception {
        PLAIN.configure(Map.of("schemas.enable", "true", "schemas.cache.size", "1"), false);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JsonNode given = JSON.readTree(line);
            ObjectNode out = JSON.createObjectNode();
            out.put("name", given.get("name").asText());
            ((ObjectNode) given).remove("name");
            SchemaAndValue value = PLAIN.toConnectData("t", JSON.writeValueAsBytes(given));
            out.set("avro", convert(value, true, "false"));
            out.set("protobuf", convert(value, false, "false"));
            ObjectNode optional = convert(value, false, "true");
            // Its text says of each field that it is not deprecated, which says nothing.
            optional.remove("schema");
            out.set("protobuf_optional", optional);
            System.out.println(JSON.writeValueAsString(out));
        }
    }

    private static ObjectNode convert(SchemaAndValue value, boolean avro, String optional) {
        ObjectNode out = JSON.createObjectNode();
        try {
            MockSchemaRegistryClient registry = new MockSchemaRegistryClient(
                List.of(new AvroSchemaProvider(), new ProtobufSchemaProvider()));
            Converter converter = avro ? new AvroConverter(registry) : new ProtobufConverter(registry);
            Map<String, String> settings =
                Map.of("schema.registry.url", "mock://golden", "optional.for.nullables", optional);
            converter.configure(settings, false);
            byte[] bytes = converter.fromConnectData("t", value.schema(), value.value());
            ParsedSchema schema = registry.getSchemaById(ByteBuffer.wrap(bytes, 1, 4).getInt());
            out.put("schema", schema.canonicalString());
            out.put("bytes", HexFormat.of().formatHex(bytes, 5, bytes.length));
        } catch (Exception error) {
            Throwable root = error;
            while (root.getCause() != null) {
                root = root.getCause();
            }
            out.put("error", root.getClass().getSimpleName() + ": " + root.getMessage());
        }
        return out;
    }
}
