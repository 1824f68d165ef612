CREATE EXTENSION hstore;
CREATE EXTENSION citext;
CREATE EXTENSION ltree;
CREATE EXTENSION isn;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'very, happy', 'Größe');
ALTER TYPE mood ADD VALUE 'meh' AFTER 'sad';
CREATE DOMAIN amount AS numeric(9,3);
CREATE DOMAIN word AS text;

CREATE TABLE types (
  id int PRIMARY KEY,
  b bool, bit1 bit(1), bit9 bit(9), vb1 varbit(1), vb9 varbit(9), vb varbit,
  i2 int2, i4 int4, i8 int8, o oid, f4 float4, f8 float8,
  n numeric, n50 numeric(5,0), n102 numeric(10,2), n3820 numeric(38,20), m money, am amount,
  t text, vc varchar(9), c char(5), nm name, ct citext, x xml, j json, jb jsonb, u uuid, lt ltree, tv tsvector, w word,
  ine inet, cid cidr, mac macaddr, mac8 macaddr8, isb isbn,
  r4 int4range, r8 int8range, rn numrange, rt tsrange, rz tstzrange, rd daterange,
  mo mood,
  d date, t0 time(0), t3 time(3), t6 time, tz timetz, tz2 timetz(2),
  ts0 timestamp(0), ts3 timestamp(3), ts6 timestamp, tsz timestamptz, tsz0 timestamptz(0),
  iv interval, ba bytea, hs hstore, pt point,
  co mood, serial_number int, tsz2 timestamptz(2), tsz3 timestamptz(3)
);
CREATE TABLE arrays (
  id bigint PRIMARY KEY,
  b bool[], i2 int2[], i4 int4[], i8 int8[], o oid[], f4 float4[], f8 float8[],
  n numeric[], n102 numeric(10,2)[], t text[], vc varchar(9)[], c char(3)[], ct citext[], j json[], jb jsonb[], u uuid[],
  ine inet[], cid cidr[], mac macaddr[], r4 int4range[], rz tstzrange[], mo mood[],
  d date[], t3 time(3)[], t6 time[], tz timetz[], ts3 timestamp(3)[], ts6 timestamp[], tsz timestamptz[],
  ba bytea[], hs hstore[], lt ltree[], bt bit(3)[]
);
CREATE TABLE unmapped (id smallint PRIMARY KEY, m money[], nm name[], iv interval[], vb varbit[], x xml[], p point[],
  tq tsquery, bx box, li line, ls lseg, pa path, po polygon, ci circle, pl pg_lsn, xd xid, mr int4multirange, jp jsonpath,
  tu pg_snapshot, ch "char");
CREATE TABLE required (
  id int PRIMARY KEY,
  b bool NOT NULL, bit1 bit(1) NOT NULL, bit9 bit(9) NOT NULL, vb varbit NOT NULL,
  i2 int2 NOT NULL, i4 int4 NOT NULL, i8 int8 NOT NULL, o oid NOT NULL, f4 float4 NOT NULL, f8 float8 NOT NULL,
  n numeric NOT NULL, n102 numeric(10,2) NOT NULL, m money NOT NULL,
  t text NOT NULL, c char(5) NOT NULL, x xml NOT NULL, j json NOT NULL, jb jsonb NOT NULL, u uuid NOT NULL, lt ltree NOT NULL, tv tsvector NOT NULL,
  ine inet NOT NULL, r4 int4range NOT NULL, mo mood NOT NULL,
  d date NOT NULL, t3 time(3) NOT NULL, t6 time NOT NULL, tz timetz NOT NULL,
  ts3 timestamp(3) NOT NULL, ts6 timestamp NOT NULL, tsz timestamptz NOT NULL,
  iv interval NOT NULL, ba bytea NOT NULL, hs hstore NOT NULL, pt point NOT NULL, ia int4[] NOT NULL, ta text[] NOT NULL
);
CREATE TABLE defaults (
  id serial PRIMARY KEY,
  b bool NOT NULL DEFAULT true, i4 int4 DEFAULT 7, i8 int8 NOT NULL DEFAULT 8, f8 float8 DEFAULT 1.5, n102 numeric(10,2) DEFAULT 1.25,
  t text NOT NULL DEFAULT 'it''s', d date DEFAULT '2020-01-02', ts timestamp NOT NULL DEFAULT now(), u uuid DEFAULT gen_random_uuid(),
  mo mood DEFAULT 'ok'
);
CREATE TABLE large (
  id int PRIMARY KEY, n int, t text, ba bytea, jb jsonb, hs hstore, ta text[], baa bytea[], ia int4[], la int8[], sa int2[], da date[], ua uuid[],
  na numeric[], tsa timestamp[], nu numeric, va varchar(100000)
);
ALTER TABLE large ALTER t SET STORAGE EXTERNAL, ALTER ba SET STORAGE EXTERNAL, ALTER jb SET STORAGE EXTERNAL, ALTER hs SET STORAGE EXTERNAL,
  ALTER ta SET STORAGE EXTERNAL, ALTER baa SET STORAGE EXTERNAL, ALTER ia SET STORAGE EXTERNAL, ALTER la SET STORAGE EXTERNAL,
  ALTER sa SET STORAGE EXTERNAL, ALTER da SET STORAGE EXTERNAL, ALTER ua SET STORAGE EXTERNAL, ALTER na SET STORAGE EXTERNAL,
  ALTER tsa SET STORAGE EXTERNAL, ALTER nu SET STORAGE EXTERNAL, ALTER va SET STORAGE EXTERNAL;
CREATE TABLE whole (id int PRIMARY KEY, t text, q numeric(6,2) NOT NULL);
ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE TABLE pairs (a int, b text, c timestamp(3), v text, PRIMARY KEY (c, a));
CREATE TABLE keyless (v int, t text);
ALTER TABLE keyless REPLICA IDENTITY FULL;
CREATE TABLE evolving (id int PRIMARY KEY, v text);
CREATE SCHEMA "Quoted_"" . Schema";
CREATE TABLE "Quoted_"" . Schema"."odd näme $ x" ("the id" int PRIMARY KEY, "9lives" int, "a-b.c" text, "ünï" text, "_x" text);
CREATE TABLE extremes (
  id int PRIMARY KEY, d date, t6 time, tz timetz, ts3 timestamp(3), ts6 timestamp, tsz timestamptz, f4 float4, f8 float8, iv interval
);
CREATE TABLE endless (id int PRIMARY KEY, ts3 timestamp(3), ts6 timestamp, tsz timestamptz, d date);
CREATE TABLE not_numbers (id int PRIMARY KEY, n numeric, n102 numeric(10,2));
CREATE TABLE finish (id int PRIMARY KEY);
INSERT INTO whole VALUES (1, 'one', 1.10), (2, NULL, -2);
INSERT INTO pairs VALUES (1, 'x', '2001-02-03 04:05:06.789', 'first');
INSERT INTO keyless VALUES (1, 'first'), (2, NULL), (3, 'third');
INSERT INTO evolving VALUES (1, 'old');
