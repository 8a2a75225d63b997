// Every error that taskd answers with, and the class that the SDK makes of it.
const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const { test } = require('node:test');
const sdk = require('@extrahorizon/javascript-sdk');

const { host } = JSON.parse(readFileSync(process.env.TASKD_TEST_ENVIRONMENT, 'utf8'));

// By what the errors mean. Where it is undefined the SDK has no class for that: it must then have none for the code.
const CLASSES = {
  SERVER_EXCEPTION: 'ServerError',
  ENDPOINT_NOT_FOUND_EXCEPTION: undefined,
  NO_PERMISSION_EXCEPTION: 'NoPermissionError',
  ID_FORMAT_EXCEPTION: 'IDFormatError',
  EMPTY_BODY_EXCEPTION: 'EmptyBodyError',
  MISSING_REQUIRED_FIELDS_EXCEPTION: 'MissingRequiredFieldsError',
  FIELD_FORMAT_EXCEPTION: 'FieldFormatError',
  RESOURCE_UNKNOWN_EXCEPTION: 'ResourceUnknownError',
  RESOURCE_ALREADY_EXISTS_EXCEPTION: 'ResourceAlreadyExistsError',
  INVALID_RQL_EXCEPTION: 'InvalidRqlError',
  EMPTY_RQL_EXCEPTION: undefined,
  LONG_QUERY_EXCEPTION: undefined,
  BODY_FORMAT_EXCEPTION: 'BodyFormatError',
  ILLEGAL_ARGUMENT_EXCEPTION: 'IllegalArgumentError',
  ILLEGAL_STATE_EXCEPTION: 'IllegalStateError',
  APPLICATION_NOT_AUTHENTICATED_EXCEPTION: 'ApplicationNotAuthenticatedError',
  USER_NOT_AUTHENTICATED_EXCEPTION: 'UserNotAuthenticatedError',
  AUTHENTICATION_EXCEPTION: 'AuthenticationError',
  OAUTH_KEY_EXCEPTION: 'OauthKeyError',
  OAUTH_TOKEN_EXCEPTION: 'OauthTokenError',
  OAUTH_SIGNATURE_EXCEPTION: 'OauthSignatureError',
  DUPLICATE_REQUEST_EXCEPTION: 'DuplicateRequestError',
  ACCESS_TOKEN_UNKNOWN_EXCEPTION: 'AccessTokenUnknownError',
  ACCESS_TOKEN_EXPIRED_EXCEPTION: 'AccessTokenExpiredError',
  REFRESH_TOKEN_UNKNOWN_EXCEPTION: 'RefreshTokenUnknownError',
  REFRESH_TOKEN_EXPIRED_EXCEPTION: 'RefreshTokenExpiredError',
  OAUTH2_CLIENT_ID_EXCEPTION: 'OAuth2ClientIdError',
  OAUTH2_CLIENT_SECRET_EXCEPTION: 'OAuth2ClientSecretError',
  OAUTH2_MISSING_CLIENT_CREDENTIALS_EXCEPTION: 'OAuth2MissingClientCredentialsError',
  EMAIL_USED_EXCEPTION: 'EmailUsedError',
  SERVICE_NOT_FOUND_EXCEPTION: 'ServiceNotFoundError',
  INVALID_FUNCTION_CODE_EXCEPTION: 'InvalidFunctionCodeError',
  INVALID_FUNCTION_CONFIGURATION_EXCEPTION: 'InvalidFunctionParameterError',
  CONCURRENT_EXECUTION_LIMIT_EXCEPTION: 'ConcurrentExecutionLimitError',
  TIME_LIMIT_EXCEEDS_DIRECT_EXECUTION_MAXIMUM_EXCEPTION: 'TimeLimitExceedsDirectExecutionMaximumError',
  LAMBDA_INVOCATION_EXCEPTION: 'LambdaInvocationError',
  LAMBDA_RUNTIME_EXCEPTION: 'LambdaRuntimeError',
  INVALID_FUNCTION_NAME_EXCEPTION: 'InvalidFunctionNameError',
  NO_TASK_LOGS_FOUND: 'NoTaskLogsFoundError',
  INVALID_API_FUNCTION_RESULT: 'InvalidApiFunctionResultError',
  FUNCTION_DISABLED_EXCEPTION: undefined,
  TIME_LIMIT_EXCEEDS_API_FUNCTION_MAXIMUM_EXCEPTION: 'TimeLimitExceedsApiFunctionMaximumError',
  CONCURRENT_API_FUNCTION_LIMIT_EXCEPTION: 'ConcurrentApiFunctionLimitError',
  NO_API_REQUEST_LOGS_FOUND_EXCEPTION: 'NoApiRequestLogsFoundError',
  BODY_TOO_LARGE_EXCEPTION: undefined,
  TOO_MANY_REQUESTS_EXCEPTION: undefined,
  UNAVAILABLE_EXCEPTION: undefined,
};

test('every error has the class of its meaning, and no class of another', async () => {
  const document = await (await fetch(`${host}/tasks/v1/openapi.json`)).json();
  const errors = document['x-errors'];
  assert.ok(errors.length > 40);
  for (const { code, name } of errors) {
    assert.ok(name in CLASSES, `${name} is not in the table`);
    assert.equal(sdk.ErrorClassMap[code]?.name, CLASSES[name], `${code} ${name}`);
  }
});
