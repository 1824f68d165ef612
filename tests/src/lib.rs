//! End-to-end tests of the `cdc` binary; they are all in `tests/`, and this library is empty.
