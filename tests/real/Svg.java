import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;

/** A stand-alone Java server: says who it is on the port that SVG_PORT names. */
public class Svg {
    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(System.getenv("SVG_PORT"));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 16);
        server.createContext("/", exchange -> {
            byte[] body = ("svg " + ProcessHandle.current().pid()).getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
        System.out.println("Svg listens on port " + port);
    }
}
