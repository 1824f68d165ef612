"""Drives Confluent's own client and serializers against the registry whose URL is given."""

import sys

from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

URL = sys.argv[1]
client = SchemaRegistryClient({"url": URL})


def expect(found, wanted, what):
    if found != wanted:
        sys.exit(f"{what}: {found!r} is not {wanted!r}")


def refused(status, code, call):
    try:
        call()
    except SchemaRegistryError as error:
        expect((error.http_status_code, error.error_code), (status, code), str(error))
        return
    sys.exit(f"{code} was expected, and nothing was refused")


def value(topic):
    return SerializationContext(topic, MessageField.VALUE)


def record(*fields):
    inner = ",".join(f'{{"name":"{name}","type":"string"}}' for name in fields)
    return f'{{"type":"record","name":"User","namespace":"shop","fields":[{inner}]}}'


def requests():
    one, two = Schema(record("a"), "AVRO"), Schema(record(), "AVRO")
    first = client.register_schema("users-value", one)
    expect(client.register_schema("users-value", one), first, "the same schema")
    full = client.register_schema_full_response("users-value", two)
    expect((full.schema_id, full.version), (first + 1, 2), "the second schema")
    expect(client.get_schema(first).schema_str, one.schema_str, "schema by id")
    expect(client.get_schema_by_guid(full.guid).schema_str, two.schema_str, "schema by guid")
    expect(client.lookup_schema("users-value", one).version, 1, "lookup")
    expect(client.get_latest_version("users-value").version, 2, "latest version")
    expect(client.get_version("users-value", 1).schema_id, first, "version")
    expect(client.get_versions("users-value"), [1, 2], "versions")
    expect("users-value" in client.get_subjects(), True, "subjects")
    expect(client.get_subjects_by_schema_id(first), ["users-value"], "subjects by id")
    versions = client.get_schema_versions(first)
    expect([(v.subject, v.version) for v in versions], [("users-value", 1)], "versions by id")
    expect(sorted(client.get_schema_types()), ["AVRO", "JSON", "PROTOBUF"], "types")
    expect(client.test_compatibility("users-value", Schema(record("a", "b"), "AVRO")), False, "check")
    expect(client.test_compatibility_all_versions("users-value", one), False, "check of all")
    expect(client.get_contexts(), ["."], "contexts")

    client.set_compatibility("users-value", "FORWARD")
    expect(client.get_compatibility("users-value"), "FORWARD", "level")
    expect(client.get_config("users-value").compatibility_level.value, "FORWARD", "config")
    client.delete_config("users-value")
    expect(client.get_compatibility(), "BACKWARD", "level of all")
    client.update_mode("users-value", "READONLY")
    refused(422, 42205, lambda: client.register_schema("users-value", Schema('"int"', "AVRO")))
    expect(client.get_mode("users-value"), "READONLY", "mode")
    client.delete_mode("users-value")
    expect(client.get_global_mode(), "READWRITE", "mode of all")

    refused(409, 40901, lambda: client.register_schema("users-value", Schema(record("b"), "AVRO")))
    refused(422, 42201, lambda: client.register_schema("users-value", Schema("{", "AVRO")))
    refused(404, 40401, lambda: client.get_versions("nobody"))
    refused(404, 40402, lambda: client.get_version("users-value", 9))
    refused(404, 40403, lambda: client.get_schema(9999))
    refused(404, 40408, lambda: client.get_config("users-value"))

    user = Schema(
        '{"type":"record","name":"Order","fields":[{"name":"by","type":"shop.User"}]}',
        "AVRO",
        [SchemaReference("shop.User", "users-value", 1)],
    )
    order = client.register_schema("orders-value", user)
    expect(client.get_referenced_by("users-value", 1), [order], "referenced by")
    refused(422, 42206, lambda: client.delete_version("users-value", 1))
    expect(client.delete_subject("orders-value"), [1], "deleted")
    expect(client.delete_subject("orders-value", permanent=True), [1], "deleted for good")
    expect(client.delete_version("users-value", 2), 2, "deleted version")


def avro():
    text = """{"type":"record","name":"Value","namespace":"shop.public.users","fields":[
        {"name":"id","type":"long"},
        {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2,
            "connect.name":"org.apache.kafka.connect.data.Decimal","connect.version":1}},
        {"name":"note","type":["null","string"],"default":null}],
        "connect.name":"shop.public.users.Value"}"""
    from decimal import Decimal

    row = {"id": 7, "price": Decimal("12.34"), "note": "n"}
    data = AvroSerializer(client, text)(row, value("avro"))
    expect(AvroDeserializer(client)(data, value("avro")), row, "Avro")
    kept = client.get_latest_version("avro-value").schema.schema_str
    expect("connect.version" in kept, True, "annotations")
    wider = text.replace('"default":null}', '"default":null},{"name":"extra","type":"int","default":3}')
    data = AvroSerializer(client, wider)({**row, "extra": 4}, value("avro"))
    expect(AvroDeserializer(client, text)(data, value("avro")), row, "Avro read by the older schema")
    expect(client.get_versions("avro-value"), [1, 2], "versions of Avro")
    narrower = text.replace('"long"', '"boolean"')
    refused(409, 40901, lambda: AvroSerializer(client, narrower)({**row, "id": True}, value("avro")))
    strict = {"auto.register.schemas": False, "use.latest.version": True}
    # The first client remembers what was the latest version before.
    other = SchemaRegistryClient({"url": URL})
    data = AvroSerializer(other, text, conf=strict)({**row, "extra": 5}, value("avro"))
    expect(AvroDeserializer(client)(data, value("avro"))["extra"], 5, "the latest version")


def json():
    text = """{"$schema":"http://json-schema.org/draft-07/schema#","title":"User","type":"object",
        "properties":{"name":{"type":"string"},"age":{"type":"integer"}},"required":["name"]}"""
    row = {"name": "Ada", "age": 36}
    data = JSONSerializer(text, client)(row, value("json"))
    expect(JSONDeserializer(None, schema_registry_client=client)(data, value("json")), row, "JSON")
    refused(409, 40901, lambda: client.register_schema("json-value", Schema(text.replace("integer", "string"), "JSON")))


def messages(*files):
    pool = descriptor_pool.DescriptorPool()
    for file in files:
        pool.Add(file)
    return pool


def proto_file(name, package, message, fields, imports=()):
    file = descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3")
    file.dependency.extend(imports)
    made = file.message_type.add(name=message)
    for number, (field, kind, type_name) in enumerate(fields, 1):
        made.field.add(name=field, number=number, type=kind, type_name=type_name, label=1)
    return file


def protobuf():
    kinds = descriptor_pb2.FieldDescriptorProto
    address = proto_file("address.proto", "shop", "Address", [("street", kinds.TYPE_STRING, None)])
    fields = [("id", kinds.TYPE_INT64, None), ("home", kinds.TYPE_MESSAGE, ".shop.Address")]
    user = proto_file("user.proto", "shop", "User", fields, ["address.proto"])
    pool = messages(address, user)
    made = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.User"))
    row = made(id=7)
    row.home.street = "Main"
    serializer = ProtobufSerializer(made, client, {"use.deprecated.format": False})
    data = serializer(row, value("proto"))
    back = ProtobufDeserializer(made, {"use.deprecated.format": False}, client)(data, value("proto"))
    expect((back.id, back.home.street), (7, "Main"), "Protobuf")
    found = client.get_latest_version("proto-value")
    expect([r.name for r in found.schema.references], ["address.proto"], "imports")
    expect("import \"address.proto\"" in found.schema.schema_str, True, "text")
    changed = proto_file("user.proto", "shop", "User", [("id", kinds.TYPE_STRING, None)])
    text = Schema('syntax = "proto3"; package shop; message User { string id = 1; }', "PROTOBUF")
    expect(client.test_compatibility("proto-value", text), False, "check of Protobuf")
    other = message_factory.GetMessageClass(messages(changed).FindMessageTypeByName("shop.User"))
    serializer = ProtobufSerializer(other, client, {"use.deprecated.format": False})
    refused(409, 40901, lambda: serializer(other(id="x"), value("proto")))


for part in (requests, avro, json, protobuf):
    part()
    print("done", part.__name__)
