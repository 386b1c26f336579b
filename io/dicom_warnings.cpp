/* Where a JPEG stream is cut or damaged, the decoder invents the pixels that it lacks, and says so
 * in a line of its log. An appender keeps the first of these lines. */
#include "io/dicom_warnings.hpp"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/oflog/appender.h>
#include <dcmtk/oflog/oflog.h>
#include <dcmtk/oflog/spi/logevent.h>

namespace {

thread_local std::string first;

class keep_first : public dcmtk::log4cplus::Appender {
  public:
    ~keep_first() override { destructorImpl(); }
    void close() override {}

  protected:
    void append(const dcmtk::log4cplus::spi::InternalLoggingEvent &event) override {
        if (first.empty()) first = event.getMessage().c_str();
    }
};

} // namespace

void dicom_warnings_start() {
    const dcmtk::log4cplus::SharedAppenderPtr appender(new keep_first);
    for (const char *const name : {"dcmtk.dcmjpeg", "dcmtk.dcmjpls"}) {
        OFLogger logger = OFLog::getLogger(name);
        logger.setLogLevel(OFLogger::WARN_LOG_LEVEL);
        logger.setAdditivity(false);
        logger.addAppender(appender);
    }
}

std::string dicom_warnings_take() {
    std::string taken;
    taken.swap(first);
    return taken;
}
