//! Any bytes as what a runtime or a client sends to the servers of `invoke`: an answer, or the end of the connection.
#![no_main]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, OnceLock};

use lambda_pack::invoke::Service;
use libfuzzer_sys::fuzz_target;

static SERVICE: OnceLock<Service> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let service = SERVICE.get_or_init(|| {
        Service::start("127.0.0.1:0", Vec::new(), Arc::new(|_: &[u8]| {})).expect("a server")
    });
    let mut stream = TcpStream::connect(service.address()).expect("a connection");
    let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    // A server that ends the connection with bytes unread resets it.
    if stream.read_to_end(&mut answer).is_ok() && !answer.is_empty() {
        assert!(answer.starts_with(b"HTTP/1.1 "));
    }
});
