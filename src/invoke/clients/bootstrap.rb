# Finds and calls a handler as aws_lambda_ric, Lambda's runtime interface client for Ruby, does; or hands over to the one that
# the package brings. Started as: bootstrap.rb TASK [CLIENT], where the function lies and the program of its client.

# What this machine has for everybody is not on Lambda. Where RubyGems itself lies among it, it has to stay.
site = RbConfig::CONFIG.values_at('sitedir', 'sitearchdir', 'vendordir', 'vendorarchdir').compact
$LOAD_PATH.reject! do |folder|
  site.any? { |above| folder.start_with?(above) } && !File.exist?(File.join(folder, 'rubygems.rb'))
end

task, client = ARGV
handler = ENV.fetch('_HANDLER')
if client
  begin
    ARGV.replace([handler])
    Dir.chdir(task)
    load client
    exit
  rescue LoadError => e
    # What a function does not find, its client says itself.
    warn "aws_lambda_ric of the package does not load (#{e.message}): another client is used"
  end
end

# A function may rely on what the client has loaded.
require 'json'
require 'logger'
require 'net/http'
require 'stringio'

$stdout.sync = true
$_global_aws_request_id = nil

# Lines of a logger that writes to the function's log.
module LambdaPackLogger
  class Lines < Logger::Formatter
    def call(severity, time, progname, msg)
      at = format_datetime(time)
      text = format('%s, [%s #%d] %5s %s -- %s: %s', severity[0..0], at, $$, severity, $_global_aws_request_id, progname, msg2str(msg))
      "#{text.encode('UTF-8')}\n"
    end
  end

  def initialize(logdev, *rest, **options)
    is_log = !logdev || logdev == $stdout || logdev == $stderr
    super(is_log ? $stdout : logdev, *rest, **options)
    @default_formatter = Lines.new if is_log
  end
end
Logger.prepend(LambdaPackLogger)

class LambdaContext
  attr_reader :aws_request_id, :invoked_function_arn, :log_group_name, :log_stream_name, :function_name, :memory_limit_in_mb,
              :function_version, :identity, :client_context, :deadline_ms, :tenant_id

  def initialize(request)
    json = ->(name) { request[name] && JSON.parse(request[name]) }
    @deadline_ms = request['Lambda-Runtime-Deadline-Ms'].to_i
    @aws_request_id = request['Lambda-Runtime-Aws-Request-Id']
    @invoked_function_arn = request['Lambda-Runtime-Invoked-Function-Arn']
    @tenant_id = request['Lambda-Runtime-Aws-Tenant-Id']
    @log_group_name = ENV['AWS_LAMBDA_LOG_GROUP_NAME']
    @log_stream_name = ENV['AWS_LAMBDA_LOG_STREAM_NAME']
    @function_name = ENV['AWS_LAMBDA_FUNCTION_NAME']
    @memory_limit_in_mb = ENV['AWS_LAMBDA_FUNCTION_MEMORY_SIZE']
    @function_version = ENV['AWS_LAMBDA_FUNCTION_VERSION']
    @identity = json['Lambda-Runtime-Cognito-Identity']
    @client_context = json['Lambda-Runtime-Client-Context']
  end

  def get_remaining_time_in_millis
    [deadline_ms - Process.clock_gettime(Process::CLOCK_REALTIME, :millisecond), 0].max
  end
end

# The Runtime API, and what is said to it.
class LambdaPackRuntime
  # Types that Lambda is told; others are a user's.
  TOLD = %w[ArgumentError NoMethodError Exception StandardError NameError LoadError SystemExit SystemStackError].freeze

  def initialize(address)
    @http = Net::HTTP.new(*address.split(':'), nil)
    @http.read_timeout = nil
    @http.max_retries = 0
  end

  def next
    @http.get('/2018-06-01/runtime/invocation/next')
  end

  def respond(id, body, type)
    post("invocation/#{id}/response", body, 'Content-Type' => type)
  end

  # Logs an error, and tells it. `origin` is Function or Init.
  def fail(path, error, origin, message)
    told = {
      errorMessage: error.message,
      errorType: "#{origin}<#{error.class}>",
      stackTrace: trace(error)
    }
    puts message, JSON.pretty_generate(told)
    header = TOLD.include?(error.class.to_s) ? told[:errorType] : 'Function<UserException>'
    post(path, told.to_json, 'Lambda-Runtime-Function-Error-Type' => header)
  end

  private

  def post(path, body, headers)
    @http.post("/2018-06-01/runtime/#{path}", body, { 'Content-Type' => 'application/json' }.merge(headers))
  end

  # Without this file, and what Ruby does to require another one.
  def trace(error)
    lines = (error.backtrace || []).first(100)
    lines.reject { |line| line.start_with?(__FILE__, '<internal:') }
  end
end

# Methods of a file that are in no class are called on it.
class LambdaHandler
  FORM = 'must be of form FILENAME.METHOD or FILENAME.CLASS.METHOD where FILENAME corresponds with an existing Ruby source ' \
         'file FILENAME.rb, CLASS is an optional module/class namespace and METHOD is a callable method. If using CLASS, ' \
         'METHOD must be a class-level method.'.freeze

  attr_reader :handler_file_name, :handler_method_name

  def initialize(env_handler:)
    parts = env_handler.split('.')
    raise ArgumentError, "Invalid handler #{parts}, #{FORM}" unless [2, 3].include?(parts.size)

    @handler_file_name = parts.first
    @handler_class = parts[1] if parts.size == 3
    @handler_method_name = parts.last
  end

  # The answer and its type.
  def call_handler(request:, context:)
    on = @handler_class ? Kernel.const_get(@handler_class) : self
    response = on.send(@handler_method_name, event: request, context: context)
    case response
    when StringIO, IO then [response.read, 'application/unknown']
    else [response.to_json, 'application/json']
    end
  end
end

runtime = LambdaPackRuntime.new(ENV.fetch('AWS_LAMBDA_RUNTIME_API'))
begin
  $LOAD_PATH.unshift(task) unless $LOAD_PATH.include?(task)
  lambda_handler = LambdaHandler.new(env_handler: handler)
  require lambda_handler.handler_file_name
rescue Exception => e
  runtime.fail('init/error', e, 'Init', "Init error when loading handler #{handler}")
  exit(252)
end

loop do
  request = runtime.next
  exit(1) unless request.is_a?(Net::HTTPSuccess)

  id = $_global_aws_request_id = request['Lambda-Runtime-Aws-Request-Id']
  ENV['_X_AMZN_TRACE_ID'] = request['Lambda-Runtime-Trace-Id'] if request['Lambda-Runtime-Trace-Id']
  begin
    event = JSON.parse(request.body.force_encoding('UTF-8'))
    answer, type = lambda_handler.call_handler(request: event, context: LambdaContext.new(request))
    runtime.respond(id, answer, type)
  rescue NameError => e
    # A method or a constant that there is not ends the process, as what is no StandardError.
    runtime.fail("invocation/#{id}/error", e, 'Function', 'Critical exception from handler')
    exit(255)
  rescue StandardError => e
    runtime.fail("invocation/#{id}/error", e, 'Function', 'Error raised from handler method')
  rescue Exception => e
    runtime.fail("invocation/#{id}/error", e, 'Function', 'Critical exception from handler')
    exit(255)
  end
end
