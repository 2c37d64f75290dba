CREATE TABLE objects (
    seq INTEGER PRIMARY KEY, id BLOB, type TEXT, encoding TEXT, fingerprint TEXT, created REAL,
    attempt INTEGER, stamp INTEGER, crc INTEGER, details BLOB, payload BLOB
);
CREATE TABLE identity (number INTEGER PRIMARY KEY, body BLOB, crc INTEGER);
CREATE TABLE state (number INTEGER PRIMARY KEY, body BLOB, crc INTEGER);
CREATE TABLE definitions (number INTEGER PRIMARY KEY, body BLOB, crc INTEGER);
CREATE TABLE producers (number INTEGER PRIMARY KEY, body BLOB, crc INTEGER);
CREATE TABLE given (number INTEGER PRIMARY KEY, body BLOB, crc INTEGER);
CREATE TABLE taken (number INTEGER PRIMARY KEY, body BLOB, crc INTEGER);
CREATE TABLE damaged (number INTEGER PRIMARY KEY, body BLOB, crc INTEGER);
CREATE TABLE settled (
    number INTEGER PRIMARY KEY, id BLOB, type TEXT, encoding TEXT, fingerprint TEXT, created REAL,
    attempt INTEGER, stamp INTEGER, crc INTEGER, details BLOB, payload BLOB, settled REAL,
    outcome TEXT, mark INTEGER
);
CREATE TABLE keys (number INTEGER PRIMARY KEY, body BLOB, crc INTEGER);
