// Echo prints its event.
const std = @import("std");

pub fn main(init: std.process.Init) !void {
    var buffers: [2][4096]u8 = undefined;
    var in = std.Io.File.stdin().readerStreaming(init.io, &buffers[0]);
    var out = std.Io.File.stdout().writerStreaming(init.io, &buffers[1]);
    _ = try in.interface.streamRemaining(&out.interface);
    try out.interface.flush();
}
