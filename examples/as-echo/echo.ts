// Echo prints its event, in pieces of 4 KiB. AssemblyScript has no standard library for WASI, so it calls WASI itself.
@external("wasi_snapshot_preview1", "fd_read") declare function fd_read(fd: i32, iovs: usize, n: i32, done: usize): i32;
@external("wasi_snapshot_preview1", "fd_write") declare function fd_write(fd: i32, iovs: usize, n: i32, done: usize): i32;

const piece = memory.data(4096), iov = memory.data(8), done = memory.data(4);

export function deed_run(): i32 {
  let failed = 0;
  do {
    store<usize>(iov, piece);
    store<u32>(iov, 4096, 4);
    failed = fd_read(0, iov, 1, done);
    store<u32>(iov, load<u32>(done), 4);
    failed = failed || fd_write(1, iov, 1, done);
  } while (!failed && load<u32>(iov, 4));
  return failed;
}
