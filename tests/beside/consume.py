"""Reads a topic to its end with Confluent's own client and deserializers, and prints a line of JSON a record.

Arguments: brokers, registry, topic, the language of key and value (avro, json, protobuf).
"""

import base64
import json
import sys
from decimal import Decimal

from confluent_kafka import Consumer, KafkaError
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

BROKERS, URL, TOPIC, LANGUAGE = sys.argv[1:]
client = SchemaRegistryClient({"url": URL})
made = {}


def message_class(number):
    """The class of the first message of a registered file."""
    text = client.get_schema(number, fmt="serialized").schema_str
    file = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(text))
    file.name = f"registered-{number}.proto"
    pool = descriptor_pool.DescriptorPool()
    known = descriptor_pool.Default()
    for name in file.dependency:
        copy_with_imports(known.FindFileByName(name), pool)
    pool.Add(file)
    first = ".".join(filter(None, [file.package, file.message_type[0].name]))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(first))


def copy_with_imports(file, pool):
    for other in file.dependencies:
        copy_with_imports(other, pool)
    description = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(description)
    try:
        pool.FindFileByName(file.name)
    except KeyError:
        pool.Add(description)


def deserializer(data):
    if LANGUAGE == "avro":
        return made.setdefault("avro", AvroDeserializer(client))
    if LANGUAGE == "json":
        # Confluent's converter says `number` of decimals and writes base64, and so do we.
        conf = {"validate": False}
        return made.setdefault("json", JSONDeserializer(None, conf=conf, schema_registry_client=client))
    number = int.from_bytes(data[1:5], "big")
    if number not in made:
        conf = {"use.deprecated.format": False}
        made[number] = ProtobufDeserializer(message_class(number), conf, client)
    return made[number]


def read(data, field):
    if data is None:
        return None
    return plain(deserializer(data)(data, SerializationContext(TOPIC, field)))


def plain(value):
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if hasattr(value, "DESCRIPTOR"):
        return message(value)
    return value


def message(value):
    if value.DESCRIPTOR.full_name.endswith("type.Decimal"):
        number = int.from_bytes(value.value, "big", signed=True)
        return str(Decimal(number).scaleb(-value.scale))
    found = {}
    for field in value.DESCRIPTOR.fields:
        part = getattr(value, field.name)
        if field.has_presence and not value.HasField(field.name):
            found[field.name] = None
        elif hasattr(part, "append"):
            found[field.name] = [plain(one) for one in part]
        else:
            found[field.name] = plain(part)
    # Protobuf has no optional lists: a message around one stands for it.
    return found


consumer = Consumer(
    {
        "bootstrap.servers": BROKERS,
        "group.id": "consume.py",
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,
        "enable.auto.commit": False,
    }
)
consumer.subscribe([TOPIC])
assigned, ended = len(consumer.list_topics(TOPIC).topics[TOPIC].partitions), set()
while len(ended) < assigned:
    found = consumer.poll(30)
    if found is None:
        sys.exit("the topic does not come to its end")
    if found.error():
        if found.error().code() != KafkaError._PARTITION_EOF:
            sys.exit(str(found.error()))
        ended.add(found.partition())
        continue
    key, value = read(found.key(), MessageField.KEY), read(found.value(), MessageField.VALUE)
    print(json.dumps({"key": key, "value": value}))
consumer.close()
