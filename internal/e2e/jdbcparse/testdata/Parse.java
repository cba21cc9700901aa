import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.logging.Level;
import java.util.logging.Logger;

import org.mariadb.jdbc.HostAddress;
import org.mariadb.jdbc.UrlParser;
import org.mariadb.jdbc.util.Options;

/**
 * Parses JDBC URLs with the drivers' own parsers. Each line of the input is a
 * driver, a URL and properties (a line name=value for each, in their order), the
 * last two in base64. Each line of the output is "refused", or name:value
 * pairs with the value in base64.
 */
public class Parse {
    public static void main(String[] args) throws Exception {
        Logger.getLogger("").setLevel(Level.OFF);
        PrintStream out = new PrintStream(System.out, false, "UTF-8");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line; (line = in.readLine()) != null; out.flush()) {
            String[] fields = line.split(" ", -1);
            Map<String, String> parsed;
            try {
                parsed = parse(fields[0], decode(fields[1]), properties(decode(fields[2])));
            } catch (Exception | AssertionError e) {
                parsed = null; // the driver does not accept the URL
            }
            out.println(parsed == null ? "refused" : encode(parsed));
        }
    }

    static Map<String, String> parse(String driver, String url, Properties info) throws Exception {
        switch (driver) {
            case "postgresql":
                return postgresql(url, info);
            case "mariadb":
                return mariadb(url, info);
            case "jtds":
                return jtds(url, info);
        }
        throw new Error("there is no driver " + driver);
    }

    static Map<String, String> postgresql(String url, Properties info) throws Exception {
        Properties p = org.postgresql.Driver.parseURL(url, info);
        if (p == null) {
            return null;
        }
        StringBuilder hosts = new StringBuilder(), ports = new StringBuilder();
        for (Object spec : (Object[]) hidden(org.postgresql.Driver.class, "hostSpecs", Properties.class).invoke(null, p)) {
            org.postgresql.util.HostSpec h = (org.postgresql.util.HostSpec) spec;
            hosts.append(hosts.length() == 0 ? "" : ",").append(h.getHost());
            ports.append(ports.length() == 0 ? "" : ",").append(h.getPort());
        }
        Map<String, String> m = new LinkedHashMap<>();
        m.put("host", hosts.toString());
        m.put("port", ports.toString());
        m.put("database", p.getProperty("PGDBNAME"));
        m.put("user", p.getProperty("user"));
        m.put("password", p.getProperty("password"));
        m.put("tls", org.postgresql.jdbc.SslMode.of(p).value);
        m.put("factory", p.getProperty("sslfactory"));
        return m;
    }

    static Map<String, String> mariadb(String url, Properties info) throws Exception {
        UrlParser p = UrlParser.parse(url, info);
        if (p == null) {
            return null;
        }
        List<HostAddress> addresses = p.getHostAddresses();
        StringBuilder hosts = new StringBuilder(), ports = new StringBuilder();
        for (HostAddress h : addresses) {
            hosts.append(hosts.length() == 0 ? "" : ",").append(h.host);
            ports.append(ports.length() == 0 ? "" : ",").append(h.port);
        }
        Options o = p.getOptions();
        Map<String, String> m = new LinkedHashMap<>();
        m.put("host", hosts.toString());
        m.put("port", ports.toString());
        m.put("database", p.getDatabase());
        m.put("user", p.getUsername());
        m.put("password", p.getPassword());
        m.put("socket", o.localSocket);
        boolean verify = Boolean.TRUE.equals(o.useSsl) && !o.trustServerCertificate;
        m.put("tls", !Boolean.TRUE.equals(o.useSsl) ? "disable" : !verify ? "require" : o.disableSslHostnameVerification ? "verify-ca" : "verify-full");
        return m;
    }

    static Map<String, String> jtds(String url, Properties info) throws Exception {
        Class<?> driver = net.sourceforge.jtds.jdbc.Driver.class;
        Properties p = (Properties) hidden(driver, "parseURL", String.class, Properties.class).invoke(null, url, info);
        if (p == null) {
            return null;
        }
        Map<String, String> m = new LinkedHashMap<>();
        m.put("host", p.getProperty("SERVERNAME"));
        m.put("port", p.getProperty("PORTNUMBER"));
        m.put("database", p.getProperty("DATABASENAME"));
        m.put("instance", p.getProperty("INSTANCE"));
        m.put("user", p.getProperty("USER"));
        m.put("password", p.getProperty("PASSWORD"));
        m.put("tls", p.getProperty("SSL"));
        return m;
    }

    static Method hidden(Class<?> in, String name, Class<?>... parameters) throws NoSuchMethodException {
        Method m = in.getDeclaredMethod(name, parameters);
        m.setAccessible(true);
        return m;
    }

    static Properties properties(String lines) {
        Properties p = new Properties();
        for (String line : lines.split("\n")) {
            int i = line.indexOf('=');
            if (i > 0) {
                p.setProperty(line.substring(0, i), line.substring(i + 1));
            }
        }
        return p;
    }

    static String decode(String s) {
        return new String(Base64.getDecoder().decode(s), StandardCharsets.UTF_8);
    }

    static String encode(Map<String, String> parsed) {
        StringBuilder b = new StringBuilder();
        parsed.forEach((name, value) -> b.append(b.length() == 0 ? "" : " ").append(name).append(':')
                .append(Base64.getEncoder().encodeToString((value == null ? "" : value).getBytes(StandardCharsets.UTF_8))));
        return b.toString();
    }
}
