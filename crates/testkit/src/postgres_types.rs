//! The matrix of PostgreSQL's types and their literals: extremes, and whatever needs quoting.

/// Types that the matrix needs, in schema `odd "types"`.
pub const SETUP: &str = r#"
CREATE SCHEMA "odd ""types""";
SET search_path TO "odd ""types""", public, pg_catalog;
CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'with, comma', '"quoted"', 'naïve', 'NULL', '');
CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');
CREATE DOMAIN money_amount AS numeric(12,3);
CREATE DOMAIN big_money AS money_amount CHECK (VALUE > 100);
CREATE DOMAIN int_list AS int4[];
CREATE DOMAIN feeling AS mood;
CREATE DOMAIN feelings AS mood[];
CREATE TYPE pair AS (a int4, b text);
CREATE DOMAIN couple AS pair;
CREATE TYPE nested AS (p pair, ps pair[], m mood, e email, l int_list);
CREATE TYPE everything AS (
  a bool, b int2, c int4, d int8, e oid, f float4, g float8, h numeric, i text, j varchar(9), k char(4),
  l name, m "char", n bytea, o json, p jsonb, q uuid, r date, s time, t timetz, u timestamp,
  v timestamptz, w interval, x int4[], y text[], z inet, aa bit varying, bb int4range, cc box[],
  dd point, ee float4[], ff bool[], gg timestamptz[], hh tstzrange, ii money_amount);
CREATE TYPE floatrange AS RANGE (SUBTYPE = float8);
CREATE TYPE textrange AS RANGE (SUBTYPE = text);
"#;

/// Types of the matrix that the server has a binary form for, and we do not read.
pub const READ_AS_TEXT: &[&str] = &[
    "tsquery",
    "regclass",
    "regtype",
    "regproc",
    "regprocedure",
    "regoper",
    "regoperator",
    "regrole",
    "regnamespace",
    "regconfig",
    "regdictionary",
    "regcollation",
    "regclass[]",
    "aclitem[]",
];

/// Types of extensions with literals: the extension, the type, the literals.
pub const EXTENSIONS: &[(&str, &str, &[&str])] = &[
    ("citext", "citext", &["'Straße'", "''", "'NULL'", "repeat('Ab', 5000)"]),
    ("citext", "citext[]", &["'{A,\"b c\",NULL}'", "'{}'"]),
    ("hstore", "hstore", &["''", "'a=>1, b=>NULL, \"c \\\"d\\\\\"=>\"x, y\"'", "'\"\"=>\"\"'"]),
    ("ltree", "ltree", &["''", "'Top.Science.Astronomy_1'"]),
    ("ltree", "lquery", &["'Top.*{1,2}.!a|b@'"]),
    ("ltree", "ltxtquery", &["'Europe & !Trans* | x'"]),
    ("cube", "cube", &["'(1,2),(3,4)'", "'(0)'", "'(1e-7,1e23)'"]),
    ("seg", "seg", &["'1.50'", "'~6.5'", "'1.0 .. 2.00'"]),
    ("isn", "isbn13", &["'978-0-11-000533-1'"]),
    ("intarray", "query_int", &["'1&(2|!3)'"]),
    ("lo", "lo", &["'4294967295'"]),
    ("vector", "vector(3)", &["'[1,-2.5,1e-7]'", "'[0.1,3e38,0]'"]),
];

const INT4: &[&str] = &["0", "-1", "2147483647", "-2147483648"];
const TEXT: &[&str] = &[
    "''",
    "'a'",
    "'NULL'",
    "' lead and trail '",
    "E'line\\nbreak\\ttab\\rreturn'",
    "'quote\" back\\slash, {brace} (paren)'",
    "'Größe 漢字 🎈'",
    "repeat('x', 9000)",
    "repeat('é', 3000)",
];
const NUMERIC: &[&str] = &[
    "0",
    "0.000",
    "-0.1",
    "1.10",
    "10000",
    "9999.9999",
    "100000000",
    "-12345678901234567890.12345678901234567890",
    "1e-20",
    "1e1000",
    "repeat('9', 1500)::numeric",
    "('0.' || repeat('1', 1200))::numeric",
    "('-' || repeat('8', 1000) || '.' || repeat('7', 1000))::numeric",
    "'NaN'",
    "'Infinity'",
    "'-Infinity'",
    "1e131000",
    "0.00001234",
    "1e-16383",
];
const TIMESTAMP: &[&str] = &[
    "'2000-01-01 00:00:00'",
    "'1999-12-31 23:59:59.999999'",
    "'1970-01-01 00:00:00'",
    "'1969-12-31 23:59:59.000001'",
    "'2024-02-29 12:34:56.7'",
    "'infinity'",
    "'-infinity'",
    "'4713-11-24 00:00:00 BC'",
    "'0001-12-31 23:59:59.5 BC'",
    "'0001-01-01'",
    "'294276-12-31 23:59:59.999999'",
    "'12345-06-07 01:02:03'",
];
const INTERVAL: &[&str] = &[
    "'0'",
    "'1 year'",
    "'-1 year -2 mons +3 days -04:05:06.789'",
    "'1 mon -1 day'",
    "'-1 day +00:00:01'",
    "'100000000:00:00'",
    "'-00:00:00.000001'",
    "'178000000 years'",
    "'-178000000 years 11 mons'",
    "'2147483647 days'",
    "'-2147483648 days'",
    "'11 mons 30 days 23:59:59.999999'",
];
const FLOAT: &[&str] = &[
    "0",
    "'-0'",
    "1",
    "-1.5",
    "0.1",
    "1e15",
    "1e14",
    "123456789012345",
    "1e-4",
    "1e-5",
    "1e6",
    "1e5",
    "100000",
    "1234567",
    "1e23",
    "9007199254740993",
    "'NaN'",
    "'Infinity'",
    "'-Infinity'",
];

/// A type and literals of it. `NULL` is added to each.
#[must_use]
pub fn matrix(major: u16) -> Vec<(&'static str, Vec<&'static str>)> {
    let mut matrix: Vec<(&str, &[&str])> = Vec::new();
    matrix.extend_from_slice(SCALARS);
    matrix.extend_from_slice(PRINTED);
    matrix.extend_from_slice(CONTAINERS);
    let mut matrix: Vec<(&str, Vec<&str>)> =
        matrix.into_iter().map(|(name, literals)| (name, literals.to_vec())).collect();
    if major >= 15 {
        // PostgreSQL 14 stores these, but cannot print them.
        matrix.push((
            "interval",
            vec![
                "make_interval(secs => -9223372036854.775808)",
                "make_interval(secs => 9223372036854.5)",
            ],
        ));
        matrix.push(("numeric(6,-2)", vec!["123456", "50", "49"]));
        matrix.push(("numeric(3,5)", vec!["0.00123"]));
    }
    if major >= 15 {
        matrix.push(("numeric(1000,-1000)", vec!["1e1000", "repeat('9', 1990)::numeric"]));
        matrix.push(("numeric(3,1000)", vec!["123e-1000"]));
    }
    if major >= 17 {
        matrix.push(("interval", vec!["'infinity'", "'-infinity'"]));
        matrix.push(("interval[]", vec!["'{infinity,-infinity,1 day}'"]));
    }
    matrix
}

const SCALARS: &[(&str, &[&str])] = &[
    ("bool", &["true", "false"]),
    ("int2", &["0", "32767", "-32768"]),
    ("int4", INT4),
    ("int8", &["0", "9223372036854775807", "-9223372036854775808"]),
    ("oid", &["0", "4294967295"]),
    ("float4", FLOAT),
    ("float4", &["3.4028235e38", "1.4e-45", "1.1754944e-38", "16777216", "8388608.5"]),
    ("float8", FLOAT),
    ("float8", &["1.7976931348623157e308", "5e-324", "2.2250738585072014e-308", "0.3"]),
    ("numeric", NUMERIC),
    ("numeric(10,2)", &["0", "12345678.90", "-0.005", "'NaN'"]),
    ("text", TEXT),
    ("varchar(20000)", TEXT),
    ("char(5)", &["''", "'a'", "'abcde'", "'é  '"]),
    ("name", &["''", "'a name'"]),
    ("\"char\"", &["''", "'x'", "'\"'", "E'\\\\'"]),
    ("bytea", &["''", "'\\x00'", "'\\xdeadbeef'", "decode(repeat('00ff5c', 5000), 'hex')"]),
    ("json", &["'null'", "'{\"b\": 1,  \"a\":[1.0,2e3], \"a\":null}'", "'\"ü\\u00fc\"'", "'[ ]'"]),
    ("jsonb", &["'null'", "'{\"b\": 1,  \"a\":[1.0,2e3], \"a\":null}'", "'\"ü\\u00fc\"'", "'[ ]'"]),
    ("jsonb", &["'12345678901234567890123.450'", "jsonb_build_object('k', repeat('x', 9000))"]),
    ("jsonb", &["'1e400'", "'-1E-400'", "'1.10'", "'-0'", "'-0.0'", "'100000000000000000000'"]),
    ("jsonb", &["'{\"a\": 1, \"a\": 2}'", "'\"\\ud83c\\udf88\"'", "'{\"\": [[], {}]}'"]),
    ("json", &["' {\"a\" : 1E400 ,\"a\":-0.0 } '", "E'[1,\\n\\t2]'", "'1e-999999'"]),
    ("uuid", &["'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-4fff-8fff-ffffffffff0f'"]),
    ("date", &["'2000-01-01'", "'1970-01-01'", "'infinity'", "'-infinity'", "'4713-11-24 BC'"]),
    ("date", &["'5874897-12-31'", "'0001-01-01'", "'0001-12-31 BC'", "'12345-02-28'"]),
    ("time", &["'00:00'", "'24:00:00'", "'23:59:59.999999'", "'12:34:56.1'"]),
    ("time(0)", &["'12:34:56.9'"]),
    ("timetz", &["'00:00+00'", "'24:00:00-15:59:59'", "'12:34:56.7+05:30'", "'01:02:03+15:59'"]),
    ("timetz", &["'01:02:03-00:00:01'", "'04:05:06.789-08'"]),
    ("timestamp", TIMESTAMP),
    ("timestamp(3)", TIMESTAMP),
    ("timestamptz", TIMESTAMP),
    ("timestamptz", &["'2024-06-01 12:00+05:30'", "'2024-06-01 12:00 America/New_York'"]),
    ("interval", INTERVAL),
    ("interval year to month", &["'1 year 2 mons'"]),
    ("interval day to second(2)", &["'1 12:34:56.789'"]),
    ("money", &["0", "0.01", "-0.01", "1234.56", "-1234567.89", "'92233720368547758.07'"]),
    ("money", &["'-92233720368547758.08'", "999.99", "1000"]),
];

const PRINTED: &[(&str, &[&str])] = &[
    ("xml", &["'<a>ü</a>'", "'<?xml version=\"1.0\" encoding=\"utf-8\"?><a/>'", "''"]),
    ("bit(3)", &["B'101'", "B'000'"]),
    ("bit(1)", &["B'1'"]),
    ("bit(64)", &["B'1000000000000000000000000000000000000000000000000000000000000001'"]),
    ("varbit(5)", &["B''", "B'10101'"]),
    ("varbit", &["B''", "B'1'", "B'10101010'", "B'101010101'"]),
    ("inet", &["'1.2.3.4'", "'0.0.0.0/0'", "'10.1.2.3/8'", "'255.255.255.255/32'"]),
    ("inet", &["'::'", "'::1'", "'1::'", "'2001:db8::1/64'", "'::ffff:1.2.3.4'", "'::1.2.3.4'"]),
    (
        "inet",
        &["'1:0:0:2:0:0:0:3'", "'1:2:3:4:5:6:7:8'", "'::5'", "'::1:0'", "'0:0:0:0:0:fffe:1:2'"],
    ),
    (
        "inet",
        &[
            "'1:0:2:3:4:5:6:7'",
            "'1:0:0:0:0:0:0:0/128'",
            "'0:1::'",
            "'::ffff:0:0'",
            "'1:0:0:2:3:0:0:4'",
        ],
    ),
    (
        "cidr",
        &["'10.0.0.0/8'", "'1.2.3.4/32'", "'0.0.0.0/0'", "'2001:db8::/32'", "'::/0'", "'::1/128'"],
    ),
    ("macaddr", &["'08:00:2b:01:02:03'", "'ff:ff:ff:ff:ff:ff'"]),
    ("macaddr8", &["'08:00:2b:01:02:03:04:05'"]),
    ("point", &["'(0,0)'", "'(-1.5,1e300)'", "'(Infinity,NaN)'", "'(1e23,1e-7)'"]),
    ("line", &["'{1,2,3}'", "'{-1,0,0.1}'"]),
    ("lseg", &["'[(0,0),(1,1.5)]'"]),
    ("box", &["'(1,2),(3,4)'"]),
    ("path", &["'[(0,0),(1,1)]'", "'((0,0),(1,1),(2,0))'"]),
    ("polygon", &["'((0,0),(1,1),(2,0))'"]),
    ("circle", &["'<(0,0),1.5>'"]),
    (
        "tsvector",
        &["''", "'a fat cat'", "'fat:2A,4B cat:1C,3'", "'''it''''s'' ''back\\\\\\\\slash'''"],
    ),
    ("tsquery", &["'fat & (rat | !cat)'", "'super:*A'", "'a <-> b <3> c'"]),
    ("pg_lsn", &["'0/0'", "'16/B374D848'", "'FFFFFFFF/FFFFFFFF'"]),
    ("pg_snapshot", &["'10:20:10,14,15'", "'10:10:'"]),
    ("txid_snapshot", &["'10:20:10,14,15'"]),
    ("xid", &["'0'", "'4294967295'"]),
    ("cid", &["'7'"]),
    ("xid8", &["'18446744073709551615'"]),
    ("tid", &["'(0,1)'", "'(4294967295,65535)'"]),
    ("regclass", &["'pg_class'", "'\"odd \"\"types\"\"\".m1'", "'0'"]),
    ("regtype", &["'int4'", "'\"odd \"\"types\"\"\".mood'"]),
    ("regproc", &["'now'"]),
    ("regprocedure", &["'now()'", "'sum(int4)'"]),
    ("regoper", &["'||/'"]),
    ("regoperator", &["'+(int4,int4)'"]),
    ("regrole", &["'postgres'"]),
    ("regnamespace", &["'public'", "'\"odd \"\"types\"\"\"'"]),
    ("regconfig", &["'english'"]),
    ("regdictionary", &["'simple'"]),
    ("regcollation", &["'\"C\"'"]),
    ("oidvector", &["''", "'1 2 4294967295'"]),
    ("int2vector", &["''", "'1 -2 3'"]),
    ("jsonpath", &["'$.a[*] ? (@ > 1)'", "'lax $'"]),
    ("aclitem", &["makeaclitem(10, 10, 'SELECT', true)"]),
    ("refcursor", &["'c'"]),
];

const CONTAINERS: &[(&str, &[&str])] = &[
    ("mood", &["'sad'", "'it''s ok'", "'with, comma'", "'\"quoted\"'", "'naïve'", "'NULL'", "''"]),
    ("email", &["'a@b'"]),
    ("feeling", &["'with, comma'", "''"]),
    ("feelings", &["ARRAY['sad', NULL, '']::mood[]", "'{}'"]),
    ("couple", &["ROW(1, 'a \"b\"')::pair"]),
    ("couple[]", &["ARRAY[ROW(1, 'a,b')::pair, NULL]::couple[]"]),
    ("int_list[]", &["'{\"{1,2}\",\"{}\",NULL}'"]),
    ("big_money", &["123.4567"]),
    ("int_list", &["'{1,NULL,3}'"]),
    ("pair", &["(1, 'x')", "(NULL, NULL)", "(1, '')", "(2, 'a \"b\" (c), \\ d')", "(3, E'\\n')"]),
    ("nested", &["ROW((1, 'a,b'), ARRAY[(2, 'c\"d'), NULL]::pair[], 'with, comma', 'a@b', '{1}')::nested"]),
    ("pair[]", &["ARRAY[(1, 'a,b'), NULL, (NULL, '\"')]::pair[]"]),
    ("int4range", &["'empty'", "'[1,5)'", "'(,5]'", "'[1,)'", "'(,)'"]),
    ("int8range", &["'[-9223372036854775808,9223372036854775806]'"]),
    ("numrange", &["'[1.10,2.000)'", "'(NaN,)'", "'[-Infinity,Infinity]'"]),
    ("daterange", &["'[2020-01-01,infinity]'", "'[0001-01-01 BC,)'"]),
    ("tsrange", &["'[2020-01-01 01:02:03,infinity)'"]),
    ("tstzrange", &["'[2020-01-01 01:02:03.5+02,)'", "'[-infinity,2020-01-01 BC]'"]),
    ("floatrange", &["'[1e23,1e24)'", "'[0.1,NaN]'"]),
    ("textrange", &["'[a,b)'", "'[\"\",\"x,y\"]'", "'[\"a b\",\"q\\\"\\\\\\\\\"]'", "'[(,z)'"]),
    ("int4multirange", &["'{}'", "'{[1,3),[5,7)}'", "'{(,1),[5,)}'"]),
    ("nummultirange", &["'{[1.0,2.50]}'"]),
    ("tsmultirange", &["'{[2020-01-01,2020-01-02)}'"]),
    ("tstzmultirange", &["'{[2020-01-01,2020-01-02),[2021-01-01,)}'"]),
    ("datemultirange", &["'{[2020-01-01,infinity)}'"]),
    ("int8multirange", &["'{[1,2],[9,9]}'"]),
    ("int4range[]", &["'{\"[1,5)\",empty,NULL}'"]),
    ("int4[]", &["'{}'", "'{1}'", "'{NULL}'", "'{{1,2},{3,NULL}}'", "'[0:1]={5,6}'"]),
    ("int4[]", &["'[-2:-1][3:4]={{1,2},{3,4}}'", "'{{{{{{1}}}}}}'"]),
    ("bool[]", &["'{t,f,NULL}'"]),
    ("int2[]", &["'{1,-2}'"]),
    ("int8[]", &["'{1,-2}'"]),
    ("oid[]", &["'{1,4294967295}'"]),
    ("float4[]", &["'{0.1,NaN,1e6,-Infinity,1e-45}'"]),
    ("float8[]", &["'{0.1,NaN,1e15,-0,1e23}'"]),
    ("numeric[]", &["'{1.10,NaN,NULL,-0.001}'"]),
    ("numeric(10,2)[]", &["'{1.105,NULL}'"]),
    ("text[]", &["ARRAY['', 'NULL', 'null', NULL, 'a b', 'a,b', '{x}', '\"', '\\', E'\\n', 'ü']"]),
    ("text[]", &["ARRAY[repeat('x', 5000), '']", "ARRAY[['a','b'],['c',NULL]]"]),
    ("varchar(9)[]", &["'{a,\"b c\"}'"]),
    ("char(3)[]", &["'{a,bcd}'"]),
    ("name[]", &["'{a,\"b c\"}'"]),
    ("\"char\"[]", &["'{a,\"\\\"\",\"\"}'"]),
    ("bytea[]", &["ARRAY['\\x00ff'::bytea, '', NULL]"]),
    ("json[]", &["ARRAY['{\"a\": \"b\"}'::json, '[1, 2]', 'null', NULL]"]),
    ("jsonb[]", &["ARRAY['{\"a\": \"b\"}'::jsonb, '[1, 2]', 'null', NULL]"]),
    ("uuid[]", &["'{00000000-0000-0000-0000-00000000000a}'"]),
    ("date[]", &["'{2020-01-01,infinity,0001-01-01 BC}'"]),
    ("time[]", &["'{24:00:00,01:02:03.4}'"]),
    ("timetz[]", &["'{24:00:00+05:30}'"]),
    ("timestamp[]", &["'{\"2020-01-01 01:02:03.4\",infinity,\"0001-01-01 00:00:00 BC\"}'"]),
    ("timestamptz[]", &["'{\"2020-01-01 01:02:03.4+02\",-infinity}'"]),
    ("interval[]", &["'{\"1 day -01:00:00\",0}'"]),
    ("money[]", &["'{1234.56,-0.01}'"]),
    ("mood[]", &["ARRAY['sad', 'with, comma', '\"quoted\"', 'NULL', '', NULL]::mood[]"]),
    ("email[]", &["ARRAY['a@b', NULL]::email[]"]),
    ("big_money[]", &["ARRAY[101, NULL]::big_money[]"]),
    ("bit(3)[]", &["'{101,000}'"]),
    ("varbit[]", &["'{\"\",1}'"]),
    ("inet[]", &["'{1.2.3.4/8,::1}'"]),
    ("cidr[]", &["'{10.0.0.0/8}'"]),
    ("macaddr[]", &["'{08:00:2b:01:02:03}'"]),
    ("point[]", &["'{\"(1,2)\",NULL}'"]),
    ("box[]", &["'{(1,2),(3,4);(5,6),(7,8);NULL}'"]),
    ("path[]", &["ARRAY['[(0,0),(1,1)]'::path]"]),
    ("tsvector[]", &["ARRAY['fat:2A cat'::tsvector]"]),
    ("pg_lsn[]", &["'{0/0}'"]),
    ("xml[]", &["ARRAY['<a b=\"c\"/>'::xml]"]),
    ("regclass[]", &["'{pg_class}'"]),
    ("aclitem[]", &["ARRAY[makeaclitem(10, 10, 'SELECT', false)]"]),
    (
        "everything",
        &[
            "ROW(true, 1, -2, 3, 4, 0.1, 1e23, 1.10, 'a \"b\"', 'c', 'd', 'e f', 'g', '\\x00ff', '{\"a\": 1}',
             '{\"a\":  1}', '00000000-0000-0000-0000-00000000000a', '0001-01-01 BC', '24:00', '01:02:03.5+05:30',
             '2020-01-01 00:00:00.5', '294276-01-01 00:00+00', '-1 mons +2 days', '{1,NULL}', '{\"a b\",NULL,\"\"}',
             '::1', B'101', '[1,5)', '{(1,2),(3,4)}', '(1,1e-7)', '{0.1,NULL}', '{t,f}', '{2020-01-01 00:00+00}',
             '[2020-01-01,)', 1.5)::everything",
            "ROW(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
             NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
             NULL, NULL, NULL)::everything",
        ],
    ),
];
