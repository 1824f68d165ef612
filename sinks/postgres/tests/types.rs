use crate::target::{Script, Target, column, deliver, on_each_major, schema, target, write};
use cdc_core::{Array, DataType, Dimension, Retry, Row, TableSchema, Timestamp, Value};
use std::sync::Arc;

/// A column type, a value as a source hands it over, and the literal that PostgreSQL reads as it.
type Case = (&'static str, DataType, Value, &'static str);

fn decimal(text: &'static str) -> Value {
    Value::Decimal(text.as_bytes().into())
}

fn at(seconds: i64, micros: u32) -> Timestamp {
    Timestamp { seconds, nanos: micros * 1_000 }
}

fn array(lengths: &[(u32, i32)], elements: Vec<Value>) -> Value {
    let dimension = |(length, lower_bound): &(u32, i32)| Dimension {
        length: *length,
        lower_bound: *lower_bound,
    };
    Value::Array(Box::new(Array { dimensions: lengths.iter().map(dimension).collect(), elements }))
}

fn scalars() -> Vec<Case> {
    const MICROS: i64 = 1_000;
    let free = DataType::Decimal { precision: None, scale: None };
    let money = DataType::Decimal { precision: Some(10), scale: Some(2) };
    let (time, timetz) = (DataType::Time { precision: None }, DataType::TimeTz { precision: None });
    let timestamp = DataType::Timestamp { precision: None };
    let timestamptz = DataType::TimestampTz { precision: None };
    vec![
        ("boolean", DataType::Bool, Value::Bool(true), "true"),
        ("boolean", DataType::Bool, Value::Bool(false), "false"),
        ("smallint", DataType::Int16, Value::Int(-32_768), "-32768"),
        ("integer", DataType::Int32, Value::Int(2_147_483_647), "2147483647"),
        ("bigint", DataType::Int64, Value::Int(i64::MIN), "-9223372036854775808"),
        ("oid", DataType::Int64, Value::Int(4_294_967_295), "4294967295"),
        ("real", DataType::Float32, Value::Float32(1.1), "1.1"),
        ("real", DataType::Float32, Value::Float32(f32::NEG_INFINITY), "-Infinity"),
        ("double precision", DataType::Float64, Value::Float64(5e-324), "5e-324"),
        ("double precision", DataType::Float64, Value::Float64(-0.0), "-0"),
        ("double precision", DataType::Float64, Value::Float64(f64::NAN), "NaN"),
        ("numeric", free.clone(), decimal("0.000000000000000000001"), "0.000000000000000000001"),
        (
            "numeric",
            free.clone(),
            decimal("-123456789012345678901234567890.1230"),
            "-123456789012345678901234567890.1230",
        ),
        ("numeric", free.clone(), decimal("NaN"), "NaN"),
        ("numeric", free.clone(), decimal("-Infinity"), "-Infinity"),
        ("numeric", free, decimal("100000000"), "100000000"),
        ("numeric(10,2)", money, decimal("-0.10"), "-0.10"),
        (
            "text",
            DataType::Text,
            Value::text("naïve \u{1f980} \"'\\ \n"),
            "naïve \u{1f980} \"'\\ \n",
        ),
        ("text", DataType::Text, Value::text(""), ""),
        ("character varying(10)", DataType::Text, Value::text("0123456789"), "0123456789"),
        ("character(4)", DataType::Text, Value::text("ab  "), "ab  "),
        ("\"char\"", DataType::Text, Value::text("x"), "x"),
        ("name", DataType::Text, Value::text("pg_class"), "pg_class"),
        ("bytea", DataType::Bytes, Value::Bytes(vec![0, 255, b'\\'].into()), "\\x00ff5c"),
        (
            "json",
            DataType::Json,
            Value::Json(r#"{"b": 1,  "a": 1.0, "a":2}"#.into()),
            r#"{"b": 1,  "a": 1.0, "a":2}"#,
        ),
        (
            "jsonb",
            DataType::Json,
            Value::Json(r#"{"a": 12345678901234567890.10}"#.into()),
            r#"{"a": 12345678901234567890.10}"#,
        ),
        ("date", DataType::Date, Value::Date(0), "1970-01-01"),
        ("date", DataType::Date, Value::Date(-2_440_588), "4714-11-24 BC"),
        ("date", DataType::Date, Value::Date(i32::MAX), "infinity"),
        ("date", DataType::Date, Value::Date(i32::MIN), "-infinity"),
        ("time without time zone", time.clone(), Value::Time(86_400_000_000 * MICROS), "24:00:00"),
        ("time(3) without time zone", time, Value::Time(1_500 * 1_000 * MICROS), "00:00:01.5"),
        (
            "time with time zone",
            timetz,
            Value::TimeTz { nanos: 3_600_000_001 * MICROS, offset_seconds: -5_400 },
            "01:00:00.000001-01:30",
        ),
        (
            "timestamp without time zone",
            timestamp.clone(),
            Value::Timestamp(at(-1, 999_999)),
            "1969-12-31 23:59:59.999999",
        ),
        (
            "timestamp without time zone",
            timestamp.clone(),
            Value::Timestamp(Timestamp::INFINITY),
            "infinity",
        ),
        (
            "timestamp without time zone",
            timestamp,
            Value::Timestamp(at(-62_167_219_200, 0)),
            "0001-01-01 00:00:00 BC",
        ),
        (
            "timestamp with time zone",
            timestamptz.clone(),
            Value::TimestampTz(at(1_700_000_000, 1)),
            "2023-11-14 22:13:20.000001+00",
        ),
        (
            "timestamp(0) with time zone",
            timestamptz,
            Value::TimestampTz(Timestamp::NEG_INFINITY),
            "-infinity",
        ),
        (
            "interval",
            DataType::Interval,
            Value::Interval { months: -14, days: 3, micros: -1 },
            "-14 mons 3 days -0.000001 seconds",
        ),
        (
            "uuid",
            DataType::Uuid,
            Value::Uuid(*b"0123456789abcdef"),
            "30313233-3435-3637-3839-616263646566",
        ),
        ("inet", DataType::Other, Value::text("10.1.0.0/16"), "10.1.0.0/16"),
        (
            "macaddr8",
            DataType::Other,
            Value::text("08:00:2b:01:02:03:04:05"),
            "08:00:2b:01:02:03:04:05",
        ),
        ("bit(3)", DataType::Other, Value::text("101"), "101"),
        ("bit varying(5)", DataType::Other, Value::text("1010"), "1010"),
        ("money", DataType::Other, Value::text("-$1,234.50"), "-$1,234.50"),
        ("int4range", DataType::Other, Value::text("[1,5)"), "[1,5)"),
        ("tstzmultirange", DataType::Other, Value::text("{}"), "{}"),
        ("tsvector", DataType::Other, Value::text("'a':1 'b':2"), "'a':1 'b':2"),
        ("box", DataType::Other, Value::text("(3,4),(1,2)"), "(3,4),(1,2)"),
        ("polygon", DataType::Other, Value::text("((0,0),(1,1))"), "((0,0),(1,1))"),
        ("xml", DataType::Other, Value::text("<a>1</a>"), "<a>1</a>"),
        ("pg_lsn", DataType::Other, Value::text("16/B374D848"), "16/B374D848"),
        ("jsonpath", DataType::Other, Value::text("$.\"a\"[*]"), "$.\"a\"[*]"),
        ("int2vector", DataType::Other, Value::text("1 2 3"), "1 2 3"),
    ]
}

fn arrays() -> Vec<Case> {
    let of = |element| DataType::Array(Box::new(element));
    let ints =
        |numbers: &[i64]| numbers.iter().map(|number| Value::Int(*number)).collect::<Vec<_>>();
    let free = DataType::Decimal { precision: None, scale: None };
    let timestamptz = DataType::TimestampTz { precision: None };
    vec![
        ("integer[]", of(DataType::Int32), array(&[], vec![]), "{}"),
        (
            "integer[]",
            of(DataType::Int32),
            array(&[(3, 1)], [ints(&[1, 2]), vec![Value::Null]].concat()),
            "{1,2,NULL}",
        ),
        (
            "integer[]",
            of(DataType::Int32),
            array(&[(2, 0), (2, -1)], ints(&[1, 2, 3, 4])),
            "[0:1][-1:0]={{1,2},{3,4}}",
        ),
        (
            "bigint[]",
            of(DataType::Int64),
            array(&[(1, 1)], ints(&[i64::MAX])),
            "{9223372036854775807}",
        ),
        (
            "text[]",
            of(DataType::Text),
            array(
                &[(4, 1)],
                vec![
                    Value::text("a,b"),
                    Value::text("NULL"),
                    Value::text(""),
                    Value::text("\"{\\"),
                ],
            ),
            r#"{"a,b","NULL","","\"{\\"}"#,
        ),
        (
            "character varying(5)[]",
            of(DataType::Text),
            array(&[(1, 1)], vec![Value::text("abc")]),
            "{abc}",
        ),
        (
            "numeric[]",
            of(free),
            array(&[(2, 1)], vec![decimal("1.50"), decimal("NaN")]),
            "{1.50,NaN}",
        ),
        (
            "bytea[]",
            of(DataType::Bytes),
            array(&[(1, 1)], vec![Value::Bytes(vec![1, 2].into())]),
            r#"{"\\x0102"}"#,
        ),
        (
            "jsonb[]",
            of(DataType::Json),
            array(&[(1, 1)], vec![Value::Json(r#"{"a": "b"}"#.into())]),
            r#"{"{\"a\": \"b\"}"}"#,
        ),
        (
            "double precision[]",
            of(DataType::Float64),
            array(
                &[(3, 1)],
                vec![Value::Float64(1e300), Value::Float64(0.1), Value::Float64(f64::INFINITY)],
            ),
            "{1e+300,0.1,Infinity}",
        ),
        ("real[]", of(DataType::Float32), array(&[(1, 1)], vec![Value::Float32(0.1)]), "{0.1}"),
        (
            "date[]",
            of(DataType::Date),
            array(&[(2, 1)], vec![Value::Date(-719_529), Value::Date(i32::MAX)]),
            "{\"0002-12-31 BC\",infinity}",
        ),
        (
            "timestamp with time zone[]",
            of(timestamptz),
            array(&[(1, 1)], vec![Value::TimestampTz(at(-1, 5))]),
            "{\"1969-12-31 23:59:59.000005+00\"}",
        ),
        (
            "interval[]",
            of(DataType::Interval),
            array(&[(1, 1)], vec![Value::Interval { months: 1, days: -2, micros: i64::MAX / 2 }]),
            "{\"1 mon -2 days 1281023894:00:27.387903\"}",
        ),
        (
            "uuid[]",
            of(DataType::Uuid),
            array(&[(1, 1)], vec![Value::Uuid([0; 16])]),
            "{00000000-0000-0000-0000-000000000000}",
        ),
        (
            "boolean[]",
            of(DataType::Bool),
            array(&[(2, 1)], vec![Value::Bool(true), Value::Bool(false)]),
            "{t,f}",
        ),
        ("inet[]", of(DataType::Other), array(&[(1, 1)], vec![Value::text("::1")]), "{::1}"),
        (
            "box[]",
            of(DataType::Other),
            array(&[(2, 1)], vec![Value::text("(1,1),(0,0)"), Value::text("(2,2),(1,1)")]),
            "{(1,1),(0,0);(2,2),(1,1)}",
        ),
        (
            "int4range[]",
            of(DataType::Other),
            array(&[(1, 1)], vec![Value::text("[1,5)")]),
            "{\"[1,5)\"}",
        ),
    ]
}

fn table_of(name: &str, case: &Case) -> Arc<TableSchema> {
    let columns = vec![
        column("id", DataType::Int64, "bigint"),
        column("v", case.1.clone(), case.0),
        column("n", case.1.clone(), case.0),
    ];
    schema(name, columns, &[0])
}

fn row(id: i64, value: &Value) -> Row {
    Box::new([Value::Int(id), value.clone(), Value::Null])
}

async fn check(target: &Target, table: &str, case: &Case) {
    let literal = case.3.replace('\'', "''");
    let expected = format!("SELECT ('{literal}'::{})::text", case.0);
    let expected = target.rows(&expected).await.remove(0);
    let sql = format!("SELECT DISTINCT v::text, n::text FROM public.{table}");
    assert_eq!(target.rows(&sql).await, [format!("{expected}|∅")], "{} {}", case.0, case.3);
    let sql = format!(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute
          WHERE attrelid = 'public.{table}'::regclass AND attname = 'v'"
    );
    assert_eq!(target.rows(&sql).await, [case.0], "the column has its source's type");
}

#[tokio::test]
async fn every_type_arrives_as_its_source_prints_it_by_both_ways() {
    on_each_major("sink-postgres types", async |target| {
        let mut sink = target.replica().await;
        for (number, case) in scalars().iter().chain(&arrays()).enumerate() {
            // Few rows go by INSERT, many of a snapshot by COPY; one more batch by ON CONFLICT.
            for (name, rows) in [(format!("few_{number}"), 2), (format!("many_{number}"), 70)] {
                let mut script = Script::new(&table_of(&name, case));
                for id in 0..rows {
                    script.snapshot(row(id, &case.2));
                }
                deliver(&mut *sink, script.take()).await;
                script.update(row(0, &case.2)).insert(row(rows, &case.2));
                deliver(&mut *sink, script.take()).await;
                check(&target, &name, case).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn types_that_serve_as_keys_find_their_rows() {
    let target = target().await;
    let mut sink = target.replica().await;
    let no_keys = ["json", "box", "polygon", "xml", "point", "jsonpath", "int2vector"];
    let keys = scalars().into_iter().filter(|case| !no_keys.contains(&case.0));
    for (number, case) in keys.enumerate() {
        let columns =
            vec![column("v", case.1.clone(), case.0), column("n", DataType::Int32, "integer")];
        let table = schema(&format!("key_{number}"), columns, &[0]);
        let row = |number| -> Row { Box::new([case.2.clone(), number]) };
        let mut script = Script::new(&table);
        deliver(&mut *sink, script.insert(row(Value::Int(1))).take()).await;
        deliver(&mut *sink, script.update(row(Value::Int(2))).take()).await;
        let sql = format!("SELECT n FROM public.key_{number}");
        assert_eq!(target.rows(&sql).await, ["2"], "{} {}", case.0, case.3);
        deliver(&mut *sink, script.delete(row(Value::Unchanged)).take()).await;
        assert_eq!(target.rows(&sql).await, [""; 0], "{} {}", case.0, case.3);
    }
}

#[tokio::test]
async fn enums_domains_and_unknown_types_get_what_the_target_can_give() {
    let target = target().await;
    target.run("CREATE DOMAIN public.positive AS integer CHECK (value > 0)").await;
    let mut sink = target.replica().await;
    let labels =
        |labels: &[&str]| DataType::Enum { labels: labels.iter().map(|l| (*l).into()).collect() };
    let mood = labels(&["sad", "it's ok", "happy"]);
    let columns = vec![
        column("id", DataType::Int64, "bigint"),
        column("mood", mood.clone(), "feelings.\"Mood\""),
        column("moods", DataType::Array(Box::new(mood)), "feelings.\"Mood\"[]"),
        column("amount", DataType::Int32, "public.positive"),
        column("place", DataType::Other, "public.geometry(Point,4326)"),
    ];
    let table = schema("people", columns, &[0]);
    let row = |id: i64, mood: &str| -> Row {
        let moods = array(&[(2, 1)], vec![Value::text(mood), Value::Null]);
        let place = Value::text("0101000020E6100000");
        Box::new([Value::Int(id), Value::text(mood), moods, Value::Int(-1), place])
    };
    let mut script = Script::new(&table);
    for id in 0..80 {
        script.snapshot(row(id, "it's ok"));
    }
    deliver(&mut *sink, script.take()).await;
    // A label that the source got without telling.
    deliver(&mut *sink, script.insert(row(80, "new")).update(row(0, "sad")).take()).await;
    let all =
        "SELECT mood, moods, amount, place, count(*) FROM people GROUP BY 1, 2, 3, 4 ORDER BY 1";
    let expected = [
        "sad|{sad,NULL}|-1|0101000020E6100000|1",
        "it's ok|{\"it's ok\",NULL}|-1|0101000020E6100000|79",
        "new|{new,NULL}|-1|0101000020E6100000|1",
    ];
    assert_eq!(target.rows(all).await, expected);
    let types = "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
                  WHERE attrelid = 'people'::regclass AND attnum > 0 ORDER BY attnum";
    let expected = [
        "id|bigint",
        "mood|feelings.\"Mood\"",
        "moods|feelings.\"Mood\"[]",
        "amount|integer",
        "place|text",
    ];
    assert_eq!(target.rows(types).await, expected);
}

#[tokio::test]
async fn a_label_that_is_new_can_be_used_in_the_transaction_that_saw_its_type_first() {
    let target = target().await;
    let mut sink = target.replica().await;
    let kind =
        |labels: &[&str]| DataType::Enum { labels: labels.iter().map(|l| (*l).into()).collect() };
    let table = |labels: &[&str]| {
        let kind = column("kind", kind(labels), "kinds.kind");
        schema("people", vec![column("id", DataType::Int64, "bigint"), kind], &[0])
    };
    let row = |id: i64, kind: &str| -> Row { Box::new([Value::Int(id), Value::text(kind)]) };
    let mut script = Script::new(&table(&["a", "b"]));
    // All of it in one transaction of the target: the type, a label that rows have, one of the schema.
    write(&mut *sink, script.insert(row(1, "a")).take()).await.unwrap();
    write(&mut *sink, script.insert(row(2, "told by a row")).take()).await.unwrap();
    script.under(&table(&["a", "told by a row", "told by the schema", "b"]));
    deliver(&mut *sink, script.insert(row(3, "told by the schema")).take()).await;
    let all = "SELECT id, kind FROM people ORDER BY id";
    assert_eq!(target.rows(all).await, ["1|a", "2|told by a row", "3|told by the schema"]);
}

#[tokio::test]
async fn types_of_other_databases_are_mapped() {
    let target = target().await;
    let mut sink = target.replica().await;
    let columns = vec![
        column("id", DataType::UInt64, "bigint unsigned"),
        column("j", DataType::Json, "json"),
        column("d", DataType::Decimal { precision: Some(65), scale: Some(30) }, "decimal(65,30)"),
        column("fine", DataType::Timestamp { precision: Some(9) }, "datetime2(9)"),
        column("e", DataType::Enum { labels: vec!["a".into()] }, "enum('a')"),
        column("b", DataType::Bytes, "varbinary(10)"),
    ];
    let mut table = (*schema("foreign", columns, &[0])).clone();
    table.dialect = "other".into();
    let row: Row = Box::new([
        Value::UInt(u64::MAX),
        Value::Json("[1]".into()),
        decimal("1.000000000000000000000000000001"),
        Value::Timestamp(Timestamp { seconds: 0, nanos: 123_456_789 }),
        Value::text("a"),
        Value::Bytes(vec![1].into()),
    ]);
    let mut script = Script::new(&Arc::new(table));
    deliver(&mut *sink, script.insert(row.clone()).update(row).take()).await;
    let expected = "18446744073709551615|[1]|1.000000000000000000000000000001|1970-01-01 00:00:00.123456789|a|\\x01";
    assert_eq!(target.rows("SELECT * FROM public.foreign").await, [expected]);
}

#[tokio::test]
async fn a_value_that_would_lose_something_is_refused() {
    let target = target().await;
    let finer = Timestamp { seconds: 0, nanos: 1 };
    let timestamp = DataType::Timestamp { precision: None };
    let varchar = "character varying(3)";
    for (native, data_type, value) in [
        ("timestamp without time zone", timestamp, Value::Timestamp(finer)),
        ("smallint", DataType::Int16, Value::Int(40_000)),
        (varchar, DataType::Text, Value::text("four")),
        ("bit(3)", DataType::Other, Value::text("1010")),
        ("inet", DataType::Other, Value::text("nonsense")),
    ] {
        let mut sink = target.replica().await;
        let table = schema(
            "narrow",
            vec![column("id", DataType::Int64, "bigint"), column("v", data_type, native)],
            &[0],
        );
        let mut script = Script::new(&table);
        script.insert(Box::new([Value::Int(1), Value::Null]));
        script.insert(Box::new([Value::Int(2), value]));
        script.insert(Box::new([Value::Int(3), Value::Null]));
        let failed = write(&mut *sink, script.take()).await.unwrap_err();
        assert_eq!((failed.error.retry, failed.rejected), (Retry::Never, Some(1)), "{native}");
        assert_eq!(failed.accepted, 0);
        let chain = failed.error.chain();
        assert!(!chain.contains("nonsense") && !chain.contains("four"), "no values: {chain}");
    }
}
