//! As much of DNS as a question for addresses takes (RFC 1035 §4.1): one question, A records.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// The type of an IPv4 address.
const TYPE_A: u16 = 1;
const CLASS_INTERNET: u16 = 1;
const HEADER_BYTES: usize = 12;
/// A name points to the question's.
const POINTER_TO_QUESTION: [u8; 2] = [0xC0, 0x0C];
const NO_SUCH_NAME: u8 = 3;

/// The name of the first question, its type, and where the question ends.
pub fn question(message: &[u8]) -> Option<(String, u16, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER_BYTES;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).into_owned());
        at += length;
    }
    let kind = u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?);
    Some((labels.join("."), kind, at + 4))
}

/// The answer to a message: addresses, or that nobody has the name. What is asked beside A has no records.
pub fn answer(message: &[u8], addresses: Option<&[Ipv4Addr]>) -> Option<Vec<u8>> {
    let (_, kind, end) = question(message)?;
    let rows = addresses.filter(|_| kind == TYPE_A).unwrap_or_default();
    let mut reply = message.get(..end)?.to_vec();
    // An authoritative response with recursion, and its code; then how many questions, answers and others.
    reply[2] = 0x84 | (message[2] & 1);
    reply[3] = 0x80 | if addresses.is_none() { NO_SUCH_NAME } else { 0 };
    reply[4..HEADER_BYTES].copy_from_slice(&[0, 1, 0, u8::try_from(rows.len()).ok()?, 0, 0, 0, 0]);
    for address in rows {
        reply.extend(POINTER_TO_QUESTION);
        reply.extend(TYPE_A.to_be_bytes());
        reply.extend(CLASS_INTERNET.to_be_bytes());
        reply.extend(5_u32.to_be_bytes());
        reply.extend(4_u16.to_be_bytes());
        reply.extend(address.octets());
    }
    Some(reply)
}

/// Asks a server for the addresses of a name.
pub fn ask(server: SocketAddr, name: &str) -> std::io::Result<Vec<Ipv4Addr>> {
    let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.extend(u8::try_from(label.len()));
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(TYPE_A.to_be_bytes());
    message.extend(CLASS_INTERNET.to_be_bytes());
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.send_to(&message, server)?;
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer)?;
    Ok(addresses(&buffer[..length]).unwrap_or_default())
}

/// The A records of an answer whose names all point to the question.
fn addresses(message: &[u8]) -> Option<Vec<Ipv4Addr>> {
    let (_, _, mut at) = question(message)?;
    let count = u16::from_be_bytes(message.get(6..8)?.try_into().ok()?);
    let mut found = Vec::new();
    for _ in 0..count {
        let length =
            usize::from(u16::from_be_bytes(message.get(at + 10..at + 12)?.try_into().ok()?));
        let data = message.get(at + 12..at + 12 + length)?;
        if message.get(at + 2..at + 4)? == TYPE_A.to_be_bytes() {
            found.push(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?));
        }
        at += 12 + length;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_the_addresses_of_its_question() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let rows = [Ipv4Addr::new(172, 25, 16, 4), Ipv4Addr::new(172, 25, 16, 5)];
        let serving = std::thread::spawn(move || {
            for addresses in [Some(&rows[..]), None] {
                let mut buffer = [0; 512];
                let (length, from) = server.recv_from(&mut buffer).unwrap();
                let asked = question(&buffer[..length]).unwrap();
                assert_eq!((asked.0.as_str(), asked.1), ("consul.demo.hcs.internal", TYPE_A));
                server.send_to(&answer(&buffer[..length], addresses).unwrap(), from).unwrap();
            }
        });
        assert_eq!(ask(address, "consul.demo.hcs.internal").unwrap(), rows);
        assert_eq!(ask(address, "consul.demo.hcs.internal").unwrap(), [Ipv4Addr::UNSPECIFIED; 0]);
        serving.join().unwrap();
    }
}
