import com.pixelmed.validate.DicomSRValidator;
import java.io.BufferedReader;
import java.io.InputStreamReader;

/**
 * Validates structured reports as the program DicomSRValidator does, one after another: reading its
 * rules takes longer than a report. Reads a path a line; writes what is found, then an empty line
 * and "END".
 */
class ReportValidator {
    public static void main(String[] arguments) throws Exception {
        DicomSRValidator validator = new DicomSRValidator();
        validator.setOptionCheckTemplateID(true);
        validator.setOptionCheckContentItemOrder(true);
        BufferedReader paths = new BufferedReader(new InputStreamReader(System.in));
        for (String path; (path = paths.readLine()) != null; ) {
            try {
                System.out.println(validator.validate(path));
            } catch (Exception exception) {
                System.out.println(exception);
            }
            System.out.println("END");
            System.out.flush();
        }
    }
}
