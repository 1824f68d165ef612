BEGIN;
INSERT INTO types VALUES (1, true, B'1', B'101010101', B'1', B'10101', B'100000001',
  -32768, 2147483647, -9223372036854775808, 4294967295, 3.33, 4.44,
  1.10, 12345, 1234.11, -123456789012345678.12345678901234567890, '-1234.11', 5.125,
  'text "quoted" \ € 🎈', 'varchar', 'ab', 'a_name', 'CiText', '<a b="c">d</a>', '{"a":  1}', '{"b": [1, 2]}', '00000000-0000-0000-0000-00000000000a', 'Top.Sci', 'fat:2A cat', 'domain',
  '10.1.2.3/8', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '0-393-04002-X',
  '[1,5]', '(,10)', '[1.10,2)', '[2019-03-31 15:30:00,infinity)', '[2019-03-31 15:30:00+02,)', '[2019-03-31,2019-04-02)',
  'very, happy',
  '2016-11-04', '11:51:30', '11:51:30.123', '11:51:30.123456', '11:51:30.123789+02', '11:51:30.12+00',
  '2016-11-04 11:51:30', '2016-11-04 11:51:30.123', '2016-11-04 11:51:30.123456', '2016-11-04 11:51:30.123456+02', '2016-11-04 11:51:30+02',
  '1 year 2 months 3 days 04:05:06.78', '\x0001ff7f', 'a=>1, "b c"=>NULL, "q\""=>"x"', '(1.5,-2)', 'meh', 1);
INSERT INTO types (id) VALUES (2);
INSERT INTO types VALUES (3, false, B'0', B'000000000', B'0', B'', B'',
  32767, -1, 9223372036854775807, 0, -0.0, 1e300,
  -12300, -99999, 0, 0.00000000000000000001, '0', -0.001,
  '', '', '', '', '', '<x/>', 'null', '[]', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '', '', '',
  '::1', '::/0', 'ff:ff:ff:ff:ff:ff', 'ff:ff:ff:ff:ff:ff:ff:ff', '0-393-04002-X',
  'empty', '(,)', '(,)', '(,)', 'empty', '(,2019-04-02)',
  'sad',
  '0044-03-15 BC', '00:00:00', '24:00:00', '24:00:00', '24:00:00+00', '23:59:59.99-12',
  '1969-12-31 23:59:59', '1969-12-31 23:59:59.999', '0044-03-15 12:00:00.000001 BC', '0044-03-15 12:00:00 BC', '11000-01-01 00:00:00+00',
  '-1 mons +2 days -03:04:05.000001', '', '', '(0,1e-7)', 'ok', 0);
INSERT INTO types (id, n, n102, f4, f8, iv, d, t6, ts6, bit9, vb9, tsz2, tsz3) VALUES
  (4, 0.000, 99999999.99, 1e-10, 0.1, '0', '1970-01-01', '00:00:00.000001', '1970-01-01 00:00:00.000001', B'000000011', B'000000011', '2016-11-04 11:51:30.12+02', '2016-11-04 11:51:30.12+02'),
  (5, 1e20, -0.01, 16777216, 123456789012, '100 years', '9999-12-31', '23:59:59.999999', '2038-01-19 03:14:08', B'100000000', B'1', '2016-11-04 11:51:30+02', '2016-11-04 11:51:30+02'),
  (6, 123456789.123456789, 0.10, 100, 1e7, '10 days 25:00:00', '1900-02-28', '12:00:00', '1883-11-18 12:03:58', NULL, NULL, NULL, 'infinity');
COMMIT;
UPDATE types SET t = 'changed', n = 2.500 WHERE id = 1;
DELETE FROM types WHERE id = 2;
INSERT INTO arrays VALUES (1,
  '{t,f,NULL}', '{1,-2}', '{1,NULL,3}', '{9223372036854775807}', '{4294967295}', '{0.1,1e6}', '{0.1,1e15}',
  '{1.10,NULL,-0.001}', '{1.10,NULL}', ARRAY['', 'NULL', NULL, 'a,b', '"'], '{a,"b c"}', '{a,bcd}', '{A,b}', ARRAY['{"a": "b"}'::json, 'null'], ARRAY['{"a": "b"}'::jsonb], '{00000000-0000-0000-0000-00000000000a}',
  '{1.2.3.4/8,::1}', '{10.0.0.0/8}', '{08:00:2b:01:02:03}', '{"[1,5)",empty}', '{"[2019-03-31 15:30:00+02,)"}', ARRAY['sad', 'very, happy', NULL]::mood[],
  '{2020-01-01,0044-03-15 BC}', '{01:02:03.4}', '{01:02:03.456789}', '{01:02:03.4+02}', '{"2020-01-01 01:02:03.4"}', '{"2020-01-01 01:02:03.456789"}', '{"2020-01-01 01:02:03.4+02"}',
  ARRAY['\x00ff'::bytea, '', NULL], ARRAY['a=>1'::hstore], '{Top.Sci}', '{101,000}');
INSERT INTO arrays (id) VALUES (2);
INSERT INTO arrays VALUES (3, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}');
INSERT INTO arrays (id, i4, t) VALUES (4, '{{1,2},{3,4}}', '{{a,b},{c,NULL}}');
INSERT INTO unmapped VALUES (1, '{1.50}', '{a}', '{1 day}', '{101}', ARRAY['<a/>'::xml], '{"(1,2)"}', 'fat & rat', '(1,2),(3,4)', '{1,2,3}', '[(0,0),(1,1)]', '[(0,0),(1,1)]', '((0,0),(1,1))', '<(0,0),1>', '0/16', '7', '{[1,3)}', '$.a', '10:20:10', 'c');
INSERT INTO required VALUES (1, true, B'1', B'101010101', B'1', 1, 2, 3, 4, 5, 6, 7.5, 8.25, '9.75', 'text', 'char', '<a/>', '{}', '[]', '00000000-0000-0000-0000-00000000000a', 'Top', 'cat',
  '10.0.0.1', '[1,5)', 'ok', '2016-11-04', '11:51:30.123', '11:51:30.123456', '11:51:30+00', '2016-11-04 11:51:30.123', '2016-11-04 11:51:30.123456', '2016-11-04 11:51:30+00',
  '1 day', '\x01', 'a=>1', '(1,2)', '{1}', '{a}');
DELETE FROM required;
INSERT INTO defaults DEFAULT VALUES;
INSERT INTO large SELECT 1, 1, repeat('t', 2100), decode(repeat('ab', 2100), 'hex'), to_jsonb(repeat('j', 2100)), hstore('k', repeat('h', 2100)),
  ARRAY[repeat('a', 2100)], ARRAY[decode(repeat('cd', 2100), 'hex')], array_agg(n), array_agg(n::int8), array_agg((n % 100)::int2), array_agg('2000-01-01'::date + n),
  array_agg(md5(n::text)::uuid), array_agg(n + 0.5), array_agg('2000-01-01'::timestamp + n * interval '1 day'), repeat('9', 6000)::numeric, repeat('v', 2100)
  FROM generate_series(1, 1100) n;
UPDATE large SET n = 2;
UPDATE whole SET t = 'uno' WHERE id = 1;
UPDATE whole SET id = 3 WHERE id = 2;
DELETE FROM whole WHERE id = 1;
UPDATE pairs SET v = 'second';
UPDATE pairs SET a = 2;
DELETE FROM pairs;
INSERT INTO keyless VALUES (4, 'fourth');
UPDATE keyless SET t = 'two' WHERE v = 2;
DELETE FROM keyless WHERE v = 3;
INSERT INTO evolving VALUES (2, 'before');
ALTER TABLE evolving ADD COLUMN added int NOT NULL DEFAULT 5, ADD COLUMN more text;
INSERT INTO evolving VALUES (3, 'after', 6, 'more');
ALTER TABLE evolving DROP COLUMN v;
UPDATE evolving SET more = 'less' WHERE id = 3;
INSERT INTO "Quoted_"" . Schema"."odd näme $ x" VALUES (1, 9, 'dash', 'umlaut', 'under');
UPDATE "Quoted_"" . Schema"."odd näme $ x" SET "the id" = 2;
BEGIN;
INSERT INTO whole VALUES (10, 'ten', 10);
INSERT INTO evolving VALUES (10, 10, 'ten');
INSERT INTO whole VALUES (11, 'eleven', 11);
SELECT pg_logical_emit_message(true, 'inside', 'content');
UPDATE whole SET t = 'twelve' WHERE id = 11;
COMMIT;
SELECT pg_logical_emit_message(false, 'outside', '\x00ff'::bytea);
TRUNCATE whole, keyless;
INSERT INTO extremes VALUES (1, '5874897-12-31', '24:00:00', '24:00:00-12', '294276-12-31 23:59:59.999', '294276-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999+00', 'NaN', 'Infinity', '178000000 years'),
  (2, '4713-11-24 BC', '00:00:00', '00:00:00+15:59', '4713-11-24 00:00:00 BC', '4713-11-24 00:00:00.000001 BC', '4713-11-24 00:00:00+00 BC', '-Infinity', 'NaN', '-1 year -1 mons');
INSERT INTO endless VALUES (1, 'infinity', 'infinity', 'infinity', '2000-01-01'), (2, '-infinity', '-infinity', '-infinity', '2000-01-01');
INSERT INTO not_numbers VALUES (1, 'NaN', 'NaN'), (2, 'Infinity', NULL);
INSERT INTO finish VALUES (1);
INSERT INTO finish VALUES (2);
