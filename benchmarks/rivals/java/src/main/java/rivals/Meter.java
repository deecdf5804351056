package rivals;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/** Made before the request; begin and end stand around the reading. What it prints is said in job.py. */
final class Meter {
    private static final OperatingSystemMXBean SYSTEM =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    private static final Path PROCESS = Path.of("/proc/self");

    private final long asked = System.nanoTime();
    private long began;
    private long base;
    private double cpuAtBegin;
    private double firstSeconds;

    void begin() throws IOException {
        Files.writeString(PROCESS.resolve("clear_refs"), "5"); // forget the peak of before, see proc(5)
        base = resident("VmRSS:");
        began = System.nanoTime();
        cpuAtBegin = cpuSeconds();
    }

    void first() {
        if (firstSeconds == 0) {
            firstSeconds = (System.nanoTime() - asked) / 1e9;
        }
    }

    void end(long readBytes, Sums sums) throws IOException {
        Map<String, Object> outcome = new LinkedHashMap<>();
        outcome.put("cpu_s", cpuSeconds() - cpuAtBegin);
        outcome.put("wall_s", (System.nanoTime() - began) / 1e9);
        outcome.put("first_s", firstSeconds);
        outcome.put("base_bytes", base);
        outcome.put("peak_bytes", resident("VmHWM:"));
        outcome.put("read_bytes", readBytes);
        outcome.put("sums", sums == null ? null : sums.toMap());
        System.out.println(new ObjectMapper().writeValueAsString(outcome));
    }

    /** Of all threads of the process: the compiler's and the collector's work counts. */
    static double cpuSeconds() {
        return SYSTEM.getProcessCpuTime() / 1e9;
    }

    private static long resident(String field) throws IOException {
        for (String line : Files.readAllLines(PROCESS.resolve("status"))) {
            if (line.startsWith(field)) {
                return Long.parseLong(line.split("\\s+")[1]) * 1024;
            }
        }
        throw new IOException("no " + field);
    }
}
