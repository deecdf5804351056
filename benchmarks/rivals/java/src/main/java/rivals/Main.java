package rivals;

import com.amazonaws.auth.AWSStaticCredentialsProvider;
import com.amazonaws.auth.BasicAWSCredentials;
import com.amazonaws.client.builder.AwsClientBuilder.EndpointConfiguration;
import com.amazonaws.kinesisvideo.parser.ebml.InputStreamParserByteSource;
import com.amazonaws.kinesisvideo.parser.mkv.Frame;
import com.amazonaws.kinesisvideo.parser.mkv.MkvElement;
import com.amazonaws.kinesisvideo.parser.mkv.StreamingMkvReader;
import com.amazonaws.kinesisvideo.parser.utilities.FragmentMetadata;
import com.amazonaws.kinesisvideo.parser.utilities.FragmentMetadataVisitor.MkvTagProcessor;
import com.amazonaws.kinesisvideo.parser.utilities.FrameVisitor;
import com.amazonaws.kinesisvideo.parser.utilities.MkvTrackMetadata;
import com.amazonaws.services.kinesisvideo.AmazonKinesisVideoMedia;
import com.amazonaws.services.kinesisvideo.AmazonKinesisVideoMediaClientBuilder;
import com.amazonaws.services.kinesisvideo.model.GetMediaRequest;
import com.amazonaws.services.kinesisvideo.model.StartSelector;
import com.amazonaws.services.kinesisvideo.model.StartSelectorType;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Rivals in Java.
 *
 * <pre>
 * java-rivals sdk|parser-library &lt; JOB           read the stream as the job says
 * java-rivals memory parser-library FILE ROUNDS  parse a file that is in memory
 * </pre>
 *
 * <p>The virtual machine compiles what is used often, so a stream is read for WARM_UP bytes first, on a connection
 * of its own, and that is not counted.
 */
public final class Main {
    private static final long WARM_UP = 64_000_000;
    private static final int WINDOW = 64 * 1024;

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("memory")) {
            memory(Path.of(arguments[2]), Integer.parseInt(arguments[3]));
            return;
        }
        JsonNode job = new ObjectMapper().readTree(System.in);
        boolean parses = arguments[0].equals("parser-library");
        AmazonKinesisVideoMedia client = client(job.get("server"));
        read(client, job, parses, Math.max(1, WARM_UP / job.get("media_bytes").asLong()), null);
        read(client, job, parses, 1, new Meter());
        System.exit(0); // closing the payload would read all of it
    }

    /** As far as the job says, so many times over. */
    private static void read(
            AmazonKinesisVideoMedia client, JsonNode job, boolean parses, long times, Meter meter) throws Exception {
        GetMediaRequest request = new GetMediaRequest()
                .withStreamName(job.get("server").get("stream").asText())
                .withStartSelector(new StartSelector().withStartSelectorType(StartSelectorType.EARLIEST));
        InputStream body = client.getMedia(request).getPayload();
        if (meter != null) {
            meter.begin();
        }
        Runnable first = meter == null ? () -> {} : meter::first;
        Sums sums = null;
        if (parses) {
            sums = parse(body, times * job.get("sums").get("frames").asLong(), first);
        } else {
            discard(body, times * job.get("media_bytes").asLong(), first);
        }
        if (meter != null) {
            meter.end(job.get("media_bytes").asLong(), sums);
        }
    }

    private static void discard(InputStream body, long goal, Runnable first) throws IOException {
        byte[] window = new byte[WINDOW];
        for (long left = goal; left > 0; ) {
            int size = body.read(window, 0, (int) Math.min(left, WINDOW));
            if (size < 0) {
                throw new IOException("the body ended " + left + " bytes early");
            }
            first.run();
            left -= size;
        }
    }

    private static Sums parse(InputStream media, long frames, Runnable first) throws Exception {
        Sums sums = new Sums();
        FrameVisitor.FrameProcessor processor = new FrameVisitor.FrameProcessor() {
            @Override
            public void process(
                    Frame frame,
                    MkvTrackMetadata track,
                    Optional<FragmentMetadata> fragment,
                    Optional<MkvTagProcessor> tags,
                    Optional<BigInteger> timescale,
                    Optional<BigInteger> clusterTime) {
                first.run();
                sums.add(clusterTime.orElseThrow().longValueExact() + frame.getTimeCode(), frame.getFrameData());
            }
        };
        StreamingMkvReader reader = StreamingMkvReader.createDefault(new InputStreamParserByteSource(media));
        FrameVisitor visitor = FrameVisitor.create(processor);
        while (sums.frames() < frames && reader.mightHaveNext()) {
            Optional<MkvElement> element = reader.nextIfAvailable();
            if (element.isPresent()) {
                element.get().accept(visitor);
            }
        }
        return sums;
    }

    private static AmazonKinesisVideoMedia client(JsonNode server) throws Exception {
        if (!server.get("ca").isNull()) {
            trust(Path.of(server.get("ca").asText()));
        }
        String key = server.get("access_key").asText();
        String secret = server.get("secret_key").asText();
        return AmazonKinesisVideoMediaClientBuilder.standard()
                .withEndpointConfiguration(new EndpointConfiguration(
                        server.get("media_endpoint_url").asText(), server.get("region").asText()))
                .withCredentials(new AWSStaticCredentialsProvider(new BasicAWSCredentials(key, secret)))
                .build();
    }

    /** The way of the virtual machine to trust an authority: a key store that a property names. */
    private static void trust(Path pem) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        try (InputStream file = Files.newInputStream(pem)) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        Path path = Files.createTempFile("rivals", ".p12");
        path.toFile().deleteOnExit();
        try (OutputStream file = Files.newOutputStream(path)) {
            store.store(file, "changeit".toCharArray());
        }
        System.setProperty("javax.net.ssl.trustStore", path.toString());
        System.setProperty("javax.net.ssl.trustStorePassword", "changeit");
    }

    private static void memory(Path path, int rounds) throws Exception {
        byte[] media = Files.readAllBytes(path);
        Sums sums = null;
        List<Double> seconds = new ArrayList<>();
        for (int round = 0; round < rounds; round++) {
            double began = Meter.cpuSeconds();
            sums = parse(new ByteArrayInputStream(media), Long.MAX_VALUE, () -> {});
            seconds.add(Meter.cpuSeconds() - began);
        }
        Map<String, Object> told = Map.of("sums", sums.toMap(), "seconds", seconds);
        System.out.println(new ObjectMapper().writeValueAsString(told));
    }
}
