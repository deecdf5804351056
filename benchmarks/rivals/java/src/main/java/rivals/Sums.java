package rivals;

import java.nio.ByteBuffer;
import java.util.Map;

/** Over every frame: see job.py. */
final class Sums {
    private long frames;
    private long bytes;
    private long timeNs;
    private long edges;

    long frames() {
        return frames;
    }

    void add(long timeMs, ByteBuffer data) {
        int size = data.remaining();
        frames++;
        bytes += size;
        timeNs += timeMs * 1_000_000;
        edges += (data.get(data.position()) & 0xFF) + (data.get(data.position() + size - 1) & 0xFF);
    }

    Map<String, Long> toMap() {
        return Map.of("frames", frames, "bytes", bytes, "time_ns", timeNs, "edges", edges);
    }
}
